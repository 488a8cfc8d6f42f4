"""The LoftUp network (Huang et al., ICCV 2025, arXiv 2504.14032, section 4.1).

Every pixel of a guidance image becomes a query that attends to the low-resolution tokens of a frozen backbone. Pixels
never attend to each other, so the map is computed in bands of rows and need not exist whole. Module names follow the
published checkpoints; maps are channels-last inside, which LayerNorm, convolutions and attention all take as it is.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sclip_lightning.upsampling.networks.winograd import Conv3x3

__all__ = ["QUERY_CHUNK", "ChannelNorm", "LoftUpNetwork"]

QUERY_CHUNK = 4096
"""Output positions computed at once, over the whole batch: 5 windows of 28 x 28; about 200 MB on the CPU in fp32."""

_CODE_FREQS = 5  # of the patches' position code: sine and cosine of 2 coordinates make 20 channels
_HALO = 2  # rows that two 3x3 convolutions reach beyond a band

KeysValues = tuple[Tensor, Tensor]


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of a channels-last map [..., C]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension of ``x``."""
        return self.norm(x)


class MinMaxScale(nn.Module):
    """Scale each channel of each image to [-0.5, 0.5].

    The authors take the range over the whole batch, which makes an image's result depend on its batch mates; per image
    is the same thing at batch size 1.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Scale ``image`` [B, H, W, 3]."""
        low, high = image.amin((1, 2), keepdim=True), image.amax((1, 2), keepdim=True)
        return (image - low) / (high - low).clamp_min(1e-4) - 0.5


class FourierFeatures(nn.Module):
    """Sines and cosines of each channel at frequencies exp(-2) to exp(10), with learned phases."""

    def __init__(self, channels: int, n_freqs: int) -> None:
        super().__init__()
        self.biases = nn.Parameter(torch.randn(2, channels, n_freqs))

    def forward(self, x: Tensor) -> Tensor:
        """Turn fp32 ``x`` [..., c] into [..., 2 * n_freqs * c]: all sines, then all cosines, frequency-major."""
        _, channels, n_freqs = self.biases.shape
        # The published phases are stored as [2, c, n_freqs] but used as [2, n_freqs, c]: reshaped, not transposed.
        sine_phase, cosine_phase = self.biases.float().reshape(2, n_freqs, channels)
        # In bf16 or fp16 the frequencies, up to 22026, leave nothing of the phase.
        with torch.autocast(x.device.type, enabled=False):
            angles = x.unsqueeze(-2) * torch.linspace(-2, 10, n_freqs, device=x.device).exp().unsqueeze(-1)
            return torch.cat([(angles + sine_phase).sin().flatten(-2), (angles + cosine_phase).cos().flatten(-2)], -1)


class CrossAttention(nn.Module):
    """Pixel queries attend to the low-resolution tokens."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm_q = nn.LayerNorm(dim)
        self.norm_kv = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, num_heads)  # holds the weights; the products are taken below

    def keys_values(self, tokens: Tensor) -> KeysValues:
        """Project ``tokens`` [B, hw, D] to keys and values, each [B, heads, hw, D / heads]."""
        dim = self.attention.embed_dim
        weight, bias = self.attention.in_proj_weight[dim:], self.attention.in_proj_bias[dim:]
        keys, values = F.linear(self.norm_kv(tokens), weight, bias).chunk(2, -1)
        return self._split(keys), self._split(values)

    def forward(self, queries: Tensor, keys_values: KeysValues) -> Tensor:
        """Attend from ``queries`` [B, n, D]; same shape out."""
        dim = self.attention.embed_dim
        weight, bias = self.attention.in_proj_weight[:dim], self.attention.in_proj_bias[:dim]
        heads = self._split(F.linear(self.norm_q(queries), weight, bias))
        mixed = F.scaled_dot_product_attention(heads, *keys_values)
        return self.attention.out_proj(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.attention.num_heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """LayerNorm, Linear, exact GELU, Linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        # The identity stands where the authors have a dropout of rate 0, so that the last layer keeps its number.
        self.net = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` [..., D] to the same shape."""
        return self.net(x)


class CrossAttentionTransformer(nn.Module):
    """Blocks of cross-attention and feed-forward, each with a residual, then a LayerNorm."""

    def __init__(self, dim: int, hidden: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(
            nn.ModuleList([CrossAttention(dim, num_heads), FeedForward(dim, hidden)]) for _ in range(num_layers)
        )

    def keys_values(self, tokens: Tensor) -> list[KeysValues]:
        """Keys and values of every block for ``tokens`` [B, hw, D]; the tokens are the same in all blocks."""
        return [module.keys_values(tokens) for module in self.modules() if isinstance(module, CrossAttention)]

    def forward(self, queries: Tensor, keys_values: list[KeysValues]) -> Tensor:
        """Transform ``queries`` [B, n, D]; same shape out."""
        for layer, layer_keys_values in zip(self.layers, keys_values, strict=True):
            attention, feed_forward = layer.children()
            queries = attention(queries, layer_keys_values) + queries
            queries = feed_forward(queries) + queries
        return self.norm(queries)


class Upsampler(nn.Module):
    """LoftUp without the leading ChannelNorm, which the checkpoints keep beside it."""

    def __init__(self, dim: int, n_freqs: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        width, fourier = dim + 4 * _CODE_FREQS, 2 * 5 * n_freqs + 3  # 5: y, x, r, g, b
        self.lr_pe = FourierFeatures(2, _CODE_FREQS)
        self.fourier_feat = nn.Sequential(MinMaxScale(), FourierFeatures(5, n_freqs))
        self.first_conv = nn.Sequential(
            ChannelNorm(fourier),
            Conv3x3(fourier, width),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            Conv3x3(width, width),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.final_conv = nn.Sequential(nn.Conv2d(width, dim, 1), nn.LayerNorm(dim, eps=1e-6))
        self.ca_transformer = CrossAttentionTransformer(width, dim, num_heads, num_layers)

    def keys_values(self, features: Tensor) -> list[KeysValues]:
        """Keys and values of every block for normed ``features`` [B, h, w, C]."""
        batch, height, width, _ = features.shape
        code = self.lr_pe(_coordinates(height, width, features.device)).expand(batch, -1, -1, -1)
        return self.ca_transformer.keys_values(torch.cat([features, code], -1).flatten(1, 2))

    def queries(self, scaled: Tensor, start: int, stop: int) -> Tensor:
        """Query tokens [B, (stop - start) * W, D] of the given rows of the min-max scaled guidance [B, H, W, 3]."""
        height, width = scaled.shape[1:3]
        first, last = max(start - _HALO, 0), min(stop + _HALO, height)
        colours = scaled[:, first:last]
        grid = _coordinates(height, width, scaled.device)[first:last].expand(len(colours), -1, -1, -1)
        fourier = torch.cat([self.fourier_feat[1](torch.cat([grid, colours], -1)), colours], -1)
        maps = self.first_conv[1:](self.first_conv[0](fourier).permute(0, 3, 1, 2))
        # Zero padding at the image's own border is the network's; at a band's edge it spoils only the halo.
        return maps[:, :, start - first : stop - first].permute(0, 2, 3, 1).flatten(1, 2)

    def forward(self, queries: Tensor, keys_values: list[KeysValues]) -> Tensor:
        """Upsampled tokens [B, n, C] for ``queries`` [B, n, D]."""
        tokens = self.ca_transformer(queries, keys_values)
        maps = self.final_conv[0](tokens.unsqueeze(1).permute(0, 3, 1, 2))
        return self.final_conv[1](maps.permute(0, 2, 3, 1).squeeze(1))


class LoftUpNetwork(nn.Module):
    """LoftUp with the ChannelNorm that the published networks were trained behind.

    The module is always in eval mode, whatever module it sits in: in train mode BatchNorm would use, and overwrite, the
    statistics of the batch.

    Args:
        dim: Channels C of the backbone's features; ``dim + 20`` must be divisible by ``num_heads``.
        n_freqs: Frequencies of the pixels' Fourier features.
        num_heads: Attention heads.
        num_layers: Blocks of cross-attention and feed-forward.

    Attributes:
        recallable: As for :class:`~sclip_lightning.towers.Tower`.
    """

    recallable: ClassVar[tuple[str, ...]] = ("bands",)

    def __init__(self, dim: int = 512, n_freqs: int = 20, num_heads: int = 4, num_layers: int = 2) -> None:
        super().__init__()
        self.upsampler = Upsampler(dim, n_freqs, num_heads, num_layers)
        self.channelnorm = ChannelNorm(dim)
        self.eval()

    def train(self, mode: bool = True) -> "LoftUpNetwork":
        """Stay in eval mode, whatever ``mode`` says."""
        return super().train(False)

    def forward(self, features: Tensor, guidance: Tensor, query_chunk: int = QUERY_CHUNK) -> Tensor:
        """Upsample ``features`` to the size of ``guidance``.

        Args:
            features: Float [B, C, h, w], not L2-normalised; any h and w.
            guidance: Float [B, 3, H, W]; any H and W. Each channel is scaled to its own range per image, so any
                normalisation will do.
            query_chunk: Output positions computed at once.

        Returns:
            Float [B, C, H, W], in the space of the ChannelNorm's output rather than the backbone's.
        """
        rows = max(1, query_chunk // (len(guidance) * guidance.shape[3]))
        tokens = torch.cat(list(self.bands(features, guidance, rows)), 1)
        return tokens.transpose(1, 2).unflatten(2, guidance.shape[2:])

    def bands(self, features: Tensor, guidance: Tensor, rows: int) -> Iterator[Tensor]:
        """Yield the tokens of :meth:`forward`'s map in bands of ``rows`` image rows, top to bottom.

        Args:
            features: Float [B, C, h, w].
            guidance: Float [B, 3, H, W].
            rows: Rows in a band. Every band repeats the convolutions on 2 rows above and below it.

        Yields:
            Float [B, rows * W, C], row-major; the last band may be shorter.
        """
        keys_values = self.upsampler.keys_values(self.channelnorm(features.permute(0, 2, 3, 1)))
        scaled = self.upsampler.fourier_feat[0](guidance.permute(0, 2, 3, 1).float())
        for start in range(0, guidance.shape[2], rows):
            queries = self.upsampler.queries(scaled, start, min(start + rows, guidance.shape[2]))
            yield self.upsampler(queries, keys_values)


def _coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """(y, x) of a grid, [height, width, 2], each from -1 at the first to 1 at the last: corners, not cell centres."""
    axes = torch.linspace(-1, 1, height, device=device), torch.linspace(-1, 1, width, device=device)
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
