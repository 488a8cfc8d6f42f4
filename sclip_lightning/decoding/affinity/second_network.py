"""CLIP's values on the patches of a second network, and from there to the texts: what its decoders have in common."""

import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import Scene, WindowGrid

__all__ = ["merged_at", "to_text_space", "values_on"]


def values_on(grid: tuple[int, int], tower: ClipTower, pixels: Tensor) -> Tensor:
    """The values of CLIP's last block, patches alone, resized bilinearly to another grid window by window.

    Args:
        grid: Rows and columns wanted, n their product.
        tower: CLIP's; it may run under autocast.
        pixels: [B, 3, a, b] float32, windows in CLIP's normalisation.

    Returns:
        [B, n, D], the heads side by side; under autocast the dtype may be lower than float32.
    """
    trunk = tower.trunk(pixels)
    _, _, v = tower.project(trunk.x, tower.depth)
    maps = v[:, :, trunk.prefix :].transpose(2, 3).flatten(1, 2).unflatten(2, trunk.grid)
    return F.interpolate(maps, grid, mode="bilinear", align_corners=False).flatten(2).mT


def to_text_space(tower: ClipTower, mixed: Tensor) -> Tensor:
    """Mixed values [B, n, D] through the last block's output projection, the final norm and the text projection.

    Neither the block's residual connections nor its MLP take part. Returns [B, n, E], not normalised.
    """
    return tower.to_text_space(tower.output(mixed[:, None], tower.depth))  # heads side by side are as good as one


def merged_at(scene: Scene) -> WindowGrid:
    """Where the windows lie; of an image taken whole, logits go from its cells to the output's size at once."""
    grid, size = scene.windows.grid, scene.output_size
    return WindowGrid(size, size, (0,), (0,), whole=True) if grid.whole else grid
