"""DINO and its successors: a second network that says which patches of a window look alike.

Trained without labels, they tell objects apart more finely than CLIP does, and know no words. timm builds them: DINO
(Caron et al., ICCV 2021, arXiv 2104.14294), DINOv2 with and without registers, DINOv3.
"""

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.towers.clip import resize_position_embedding
from sclip_lightning.windows.colours import CLIP_MEAN, CLIP_STD, IMAGENET, padded_with_black

__all__ = ["FeatureTower"]


class FeatureTower(nn.Module):
    """A vision transformer as a source of dense features that are compared with each other, never with texts.

    It takes windows as CLIP does. What does not fill a patch at the bottom and right is dropped as there for
    :meth:`features`, and filled up with black for :meth:`values`, as the methods' code does that read them.

    Args:
        network: timm's ``VisionTransformer`` or ``Eva`` without a head, for images of any size. Where its position
            embedding has a place for the class token it is resized by DINO's rule, which is not timm's. For the others,
            DINOv2 with registers and DINOv3, timm's is taken; it is said to be theirs, which was not checked.
        architecture: timm's name for it, or the folder that it comes from.
        weights: What was loaded, in words for a report.
    """

    recallable: ClassVar[tuple[str, ...]] = ("features", "values", "query_key_sums", "last_block_inputs")

    _constants: Tensor

    def __init__(self, network: nn.Module, architecture: str, weights: str) -> None:
        super().__init__()
        self.network: Any = network.eval().requires_grad_(False)
        self.architecture = architecture
        self.weights = weights
        # Not persistent: a checksum is that of the weights.
        constants = torch.tensor([(CLIP_MEAN, CLIP_STD), IMAGENET])[..., None, None]
        self.register_buffer("_constants", constants, persistent=False)

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        height, width = self.network.patch_embed.patch_size
        return height, width

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches in a window of ``height`` x ``width`` pixels; a remainder is dropped."""
        return height // self.patch_size[0], width // self.patch_size[1]

    def check_window(self, crop: int, padding: int = 1) -> None:
        """Refuse windows that are not whole patches: a part of each would be stretched over the rest.

        Windows that an image is too small for are another matter: they are as they are.

        Args:
            crop: Side of a window in pixels; 0 for images taken whole, which are of any size.
            padding: Windows are padded to a multiple of this many pixels.

        Raises:
            ConfigError: They are not.
        """
        side = crop + -crop % padding
        if any(side % patch for patch in self.patch_size):
            step = math.lcm(padding, *self.patch_size)
            msg = (
                f"Windows of {side} x {side} pixels are no whole number of patches of {self.architecture}, which has "
                f"{self.patch_size[0]} x {self.patch_size[1]} pixels a patch. Set --model.crop to a multiple of "
                f"{step}, such as {max(side // step, 1) * step}, or choose another network."
            )
            raise ConfigError(msg)

    def features(self, windows: Tensor) -> Tensor:
        """The patches after the last block and the final norm; class token and registers are left out.

        Args:
            windows: [B, 3, H, W] float32 in CLIP's normalisation.

        Returns:
            [B, rows, columns, C], not normalised; under autocast the dtype may be lower than float32.

        Raises:
            DataError: A window is smaller than one patch.
        """
        pixels, grid = self._whole_patches(windows)
        network = self.network
        if self._has_class_position:
            tokens = network.norm(network.blocks(self._by_dinos_rule(pixels, grid)))
        else:
            tokens = network.forward_features(pixels)
        patches: Tensor = tokens[:, network.num_prefix_tokens :].unflatten(1, grid)
        return patches

    @property
    def compares_as_they_are(self) -> bool:
        """Whether queries and keys of the last block are what the projection gives.

        Not so where they are turned by their places in the window, as in DINOv3, or normalised.
        """
        from timm.models import vision_transformer

        kinds: Any = vision_transformer
        last = self.network.blocks[-1]
        plain = type(last) is kinds.Block and type(last.attn) is kinds.Attention
        return plain and isinstance(last.attn.q_norm, nn.Identity)

    def query_key_sums(self, windows: Tensor) -> Tensor:
        """Queries plus keys of the last block, of patches alone, heads side by side; nothing after them is computed.

        Args:
            windows: As for :meth:`features`; the network :attr:`compares_as_they_are`.

        Returns:
            [B, rows, columns, C] float32, not normalised.

        Raises:
            DataError: A window is smaller than one patch.
        """
        x, last = self._before_last(*self._whole_patches(windows)), self.network.blocks[-1]
        grid = self.grid_size(windows.shape[-2], windows.shape[-1])
        weight, bias = last.attn.qkv.weight, last.attn.qkv.bias
        number = len(weight) // 3 * 2
        q, k = F.linear(last.norm1(x), weight[:number], None if bias is None else bias[:number]).float().chunk(2, -1)
        return (q + k).unflatten(1, grid)

    def last_block_inputs(self, windows: Tensor) -> Tensor:
        """What the last block makes something of, of patches alone.

        Args:
            windows: As for :meth:`features`; the network :attr:`compares_as_they_are`.

        Returns:
            [B, rows, columns, 4 * C] float32: the patches before the block after the final norm, as networks hand out
            what leaves their middle blocks; then queries, keys and values of the block, heads side by side.

        Raises:
            DataError: A window is smaller than one patch.
        """
        pixels, grid = self._whole_patches(windows)
        x, last = self._before_last(pixels, grid), self.network.blocks[-1]
        inputs = [self.network.norm(x), last.attn.qkv(last.norm1(x))]
        return torch.cat([one.float() for one in inputs], dim=-1).unflatten(1, grid)

    def finish_last_block(self, inputs: Tensor) -> Tensor:
        """The last block on any patches, which all attend to each other; without the final norm.

        Args:
            inputs: [N, 4 * C] as :meth:`last_block_inputs` gives them, of any windows.

        Returns:
            [N, C]; under autocast the dtype may be lower than float32.
        """
        last = self.network.blocks[-1]
        x, *projections = inputs[None].chunk(4, dim=-1)
        q, k, v = (one.unflatten(-1, (last.attn.num_heads, -1)).transpose(1, 2) for one in projections)
        x = x + last.ls1(last.attn.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))
        finished: Tensor = x + last.ls2(last.mlp(last.norm2(x)))
        return finished[0]

    def values(self, windows: Tensor) -> Tensor:
        """The values that the last block's attention would mix, of patches alone, heads joined.

        Args:
            windows: [B, 3, H, W] float32 in CLIP's normalisation; black pixels at the bottom and right bring them to
                whole patches.

        Returns:
            [B, rows, columns, C], rows and columns rounded up, not normalised; under autocast the dtype may be lower
            than float32.
        """
        pixels = self._renormalised(padded_with_black(windows, self.patch_size))
        grid = self.grid_size(pixels.shape[-2], pixels.shape[-1])
        return _values(self.network.blocks[-1], self._before_last(pixels, grid)).unflatten(1, grid)

    def _whole_patches(self, windows: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Windows in ImageNet's normalisation without what fills no patch, and their rows and columns of patches."""
        height, width = windows.shape[-2:]
        grid, patch = self.grid_size(height, width), self.patch_size
        if 0 in grid:
            msg = (
                f"A window of {height} x {width} pixels is smaller than one patch of {self.architecture}, which has "
                f"{patch[0]} x {patch[1]}. Raise --data.short_side, skip the image, or choose another network."
            )
            raise DataError(msg)
        return self._renormalised(windows)[..., : grid[0] * patch[0], : grid[1] * patch[1]], grid

    def _before_last(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """What the last block starts from, [B, n, C], of patches alone."""
        network = self.network
        if self._has_class_position:
            x: Tensor = network.blocks[:-1](self._by_dinos_rule(pixels, grid))[:, network.num_prefix_tokens :]
            return x
        before_last = [len(network.blocks) - 2]
        (x,) = network.forward_intermediates(
            pixels, before_last, stop_early=True, output_fmt="NLC", intermediates_only=True
        )
        return x

    def _renormalised(self, windows: Tensor) -> Tensor:
        """From CLIP's normalisation to ImageNet's, back over colours in 0..1 as ProxyCLIP's code goes."""
        (clip_mean, clip_std), (mean, std) = self._constants.float()
        return ((windows.float() * clip_std + clip_mean) - mean) / std

    @property
    def _has_class_position(self) -> bool:
        embedding = getattr(self.network, "pos_embed", None)
        return embedding is not None and embedding.shape[1] == 1 + math.prod(self.network.patch_embed.grid_size)

    def _by_dinos_rule(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """Class token and patches [B, 1 + n, C] before the first block."""
        network = self.network
        position = resize_position_embedding(network.pos_embed[0], network.patch_embed.grid_size, grid)
        patches = network.patch_embed.proj(pixels).flatten(2).mT.to(position.dtype)
        tokens: Tensor = torch.cat([network.cls_token.expand(len(pixels), -1, -1), patches], dim=1) + position
        return tokens


def _values(block: Any, x: Tensor) -> Tensor:
    """What a block's value projection makes of its input [B, N, D]; DINOv3's bias is not in the projection."""
    attention, width = block.attn, len(block.attn.qkv.weight) // 3
    bias = getattr(attention, "v_bias", None) if attention.qkv.bias is None else attention.qkv.bias[2 * width :]
    return F.linear(block.norm1(x), attention.qkv.weight[2 * width :], bias)
