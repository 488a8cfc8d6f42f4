"""The AnyUp network (Wimmer et al., ICLR 2026, arXiv 2510.12764): image and any features say what belongs where.

The image, encoded pixel by pixel with 1 x 1 convolutions, gives the queries of a finer grid and half of cells' keys.
The other half comes from the features through a layer that takes any number of channels. It follows the released code,
with which the weights were trained: the paper's softmax over filters is there a softmax over numbers that are read in
another order, see :class:`AnyChannels`. Names follow the released files.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sclip_lightning.upsampling.networks.released import Release, fit, read_release

__all__ = ["HEADS", "WINDOW_RATIO", "AnyUpNetwork", "load_anyup"]

#: Heads, and how far a position sees as a share of an axis; the files do not say them.
HEADS, WINDOW_RATIO = 4, 0.1
#: The authors' weights: trained on several backbones, CLIP models among them, or as in the paper on DINOv2 alone.
RELEASES = {
    "multi_backbone": Release("AnyUp", "wimmerth/anyup", "checkpoint_v2", "anyup_multi_backbone.pth"),
    "paper": Release("AnyUp", "wimmerth/anyup", "checkpoint", "anyup_paper.pth"),
}
_GROUPS = 8  # of every GroupNorm
_TAPS = 5  # rows and columns of a filter on features
_SHORTEST = 1e-12  # keeps lengths of features away from 0


class Residual(nn.Module):
    """Adds what twice GroupNorm, SiLU and a 1 x 1 convolution make of its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(inplace=True),
            nn.Conv2d(width, width, 1, bias=False),
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(inplace=True),
            nn.Conv2d(width, width, 1, bias=False),
        )

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Map ``x`` [B, C, H, W] to the same shape, or to its means over [B, C, *size] parts.

        The last convolution has neither bias nor neighbours: it commutes with means, and on few positions it is cheap.
        """
        inner = self.block[:-1](x)
        if size is not None:
            x, inner = F.adaptive_avg_pool2d(x, size), F.adaptive_avg_pool2d(inner, size)
        return x + self.block[-1](inner)


class Encoder(nn.Sequential):
    """A first layer, then two residual blocks; numbered, as in the files."""

    def __init__(self, first: nn.Module, width: int) -> None:
        super().__init__(first, Residual(width), Residual(width))

    def pooled(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """What :meth:`forward` gives, averaged to ``size``; float32."""
        return self[2](self[1](self[0](x)), size).float()


class AnyChannels(nn.Module):
    """From features of any number of channels to a fixed one.

    Every channel is correlated with all filters, which gives [channels, filters] numbers per cell. The released code
    reads them, as they lie in memory, as [filters, channels], takes the softmax over the first and the mean over the
    second axis. So the order of the channels counts.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(width, 1, _TAPS, _TAPS) / _TAPS)

    def forward(self, features: Tensor) -> Tensor:
        """Map float32 ``features`` [B, C, h, w] to [B, width, h, w]."""
        batch, channels, *grid = features.shape
        found = F.conv2d(features.flatten(0, 1)[:, None], self.basis.float(), padding=_TAPS // 2)
        inside = F.conv2d(features.new_ones(1, 1, *grid), features.new_ones(1, 1, _TAPS, _TAPS), padding=_TAPS // 2)
        return (found / inside).view(batch, len(self.basis), channels, *grid).softmax(dim=1).mean(dim=2)


class AroundReflected(nn.Conv2d):
    """A 3 x 3 convolution without bias that reflects at the border, and repeats where there is a single cell."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` [B, C, h, w] to [B, C', h, w]."""
        x = F.pad(x, (1, 1, 0, 0), mode="reflect" if x.shape[3] > 1 else "replicate")
        return super().forward(F.pad(x, (0, 0, 1, 1), mode="reflect" if x.shape[2] > 1 else "replicate"))


class Position(nn.Module):
    """A learned code of the place in the image, corner to corner, applied to pairs of channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.freqs = nn.Parameter(torch.randn(2, width))

    def forward(self, maps: Tensor) -> Tensor:
        """Code float32 ``maps`` [B, C, H, W]; same shape. Both channels of a pair have angles of their own."""
        down, across = (torch.linspace(0, 1, side, device=maps.device) for side in maps.shape[2:])
        of_rows, of_columns = self.freqs.float()[..., None, None]
        angles = down[:, None] * of_rows + across * of_columns
        first, second = maps.chunk(2, dim=1)
        return (maps * angles.cos()).add_(torch.cat([-second, first], dim=1).mul_(angles.sin_()))


class Norm(nn.Module):
    """Divides a vector of channels by the root of its mean square."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise float32 ``maps`` [B, C, H, W]."""
        mean = maps.square().mean(dim=1, keepdim=True)
        return maps * (mean + torch.finfo(torch.float32).eps).rsqrt() * self.weight[:, None, None]


class CrossAttention(nn.Module):
    """Holds projections of queries and keys; those of values and the output are in the files and without effect."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_q, self.norm_k = Norm(width), Norm(width)
        self.attention = nn.MultiheadAttention(width, HEADS)

    def forward(self, maps: Tensor, norm: Norm, part: int) -> Tensor:
        """Queries (part 0) or keys (part 1), [B, heads, D, H, W], of float32 maps [B, C, H, W]."""
        weight = self.attention.in_proj_weight.chunk(3)[part][..., None, None]
        return F.conv2d(norm(maps), weight, self.attention.in_proj_bias.chunk(3)[part]).unflatten(1, (HEADS, -1))


class CrossDecode(nn.Module):
    """A convolution of the queries, and the attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.cross_attn = CrossAttention(width)


class AnyUpNetwork(nn.Module):
    """AnyUp; the image's encoders may run under autocast, everything after them is float32.

    Args:
        width: Channels of a query over all heads, a multiple of 8.

    Attributes:
        recallable: As for :class:`~sclip_lightning.towers.Tower`.
    """

    recallable: ClassVar[tuple[str, ...]] = ("encoded",)

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.image_encoder = Encoder(nn.Conv2d(3, width, 1, bias=False), width)
        self.key_encoder = Encoder(nn.Conv2d(width, width, 1, bias=False), width)
        self.query_encoder = Encoder(nn.Conv2d(width, width, 1, bias=False), width)
        self.key_features_encoder = Encoder(AnyChannels(width), width)
        self.aggregation = Encoder(AroundReflected(2 * width, width), width)
        self.cross_decode = CrossDecode(width)
        self.rope = Position(width)

    def encoded(self, image: Tensor, size: tuple[int, int], cells: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """What the image alone gives.

        Args:
            image: [B, 3, H, W] float32 in ImageNet's normalisation; never resized before it is encoded.
            size: Rows and columns of the finer grid.
            cells: Rows and columns of cells.

        Returns:
            Queries [B, heads, D, *size] and the image's half of the keys [B, C, *cells], float32.
        """
        maps = self.rope(self.image_encoder(image).float())
        queries, keys = self.query_encoder.pooled(maps, size), self.key_encoder.pooled(maps, cells)
        del maps
        decode = self.cross_decode
        with torch.autocast(image.device.type, enabled=False):
            return decode.cross_attn(decode.conv2d(queries), decode.cross_attn.norm_q, 0), keys

    def keys(self, of_image: Tensor, features: Tensor) -> Tensor:
        """Keys [B, heads, D, h, w] float32 of the cells, of the image's half and features [B, C, h, w] of any kind."""
        with torch.autocast(features.device.type, enabled=False):
            features = F.normalize(features.float(), dim=1, eps=_SHORTEST)
            together = self.aggregation(torch.cat([of_image, self.key_features_encoder(features)], dim=1))
            attention = self.cross_decode.cross_attn
            found: Tensor = attention(together, attention.norm_k, 1)
        return found


def load_anyup(weights: str | None = "multi_backbone", width: int = 128) -> AnyUpNetwork:
    """Build AnyUp and load its weights, all of them or none; a file of another width is refused.

    Args:
        weights: ``multi_backbone`` or ``paper``, fetched from GitHub once, the path of a file, or None for random ones.
        width: Channels of a query over all heads; the released files have 128.

    Returns:
        The network on the CPU; its parameters take no gradients.

    Raises:
        CheckpointError: The file is not found, cannot be read or does not fit.
    """
    network = AnyUpNetwork(width).requires_grad_(False).eval()
    if weights is not None:
        release = RELEASES.get(weights, RELEASES["multi_backbone"])
        state, path = read_release(release, weights, tuple(RELEASES))
        fit(network, state, path, release)
    return network
