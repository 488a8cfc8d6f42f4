"""Pixel-adaptive mask refinement: averages over neighbours of similar colour.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020, section 4, with the dilations of
SCLIP and ResCLIP. One iteration is a sparse matrix of 8 neighbours per dilation times the maps. With the maps laid
out pixel by pixel that is a weighted embedding lookup, whose rows are contiguous: the stack of all neighbours' maps
never exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.ranges import at_least
from sclip_lightning.windows import Extent, MapStep, Scene
from sclip_lightning.windows.cache import KEPT

__all__ = ["PAMR", "pamr", "pamr_weights", "smooth"]

#: Values computed at once on the CPU, 1 MiB: larger pieces of memory come fresh from the system every time, and making
#: their pages costs as much as the arithmetic.
CPU_BLOCK = 2**18
#: Maps refined at once: enough to read long rows, few beside all maps of a large vocabulary, which need room twice.
MAPS = 32


@dataclass(frozen=True)
class PAMR(MapStep):
    """Refines logits by :func:`pamr`.

    Args:
        iterations: How often to average.
        dilations: Distances of the neighbours in pixels.
    """

    works_on = "logits"

    iterations: Annotated[int, at_least(0, whole=True)] = 10
    dilations: Annotated[tuple[int, ...], at_least(1, whole=True)] = (8, 16)

    def __call__(self, maps: Tensor, scene: Scene) -> Tensor:
        """Refine [Q, H, W] float32 logits by the network's input, resized to (H, W) as SCLIP does."""
        guide = scene.resized_pixels((maps.shape[1], maps.shape[2]))
        return pamr(maps[None], guide[None], self.iterations, self.dilations)[0]

    def memory(self, extent: Extent) -> int:
        """The logits of all queries twice, before and after, and neighbours with their weights."""
        return extent.pixels * (2 * 4 * extent.queries + 2 * 4 * 8 * len(self.dilations))


def pamr(logits: Tensor, image: Tensor, iterations: int = 10, dilations: Sequence[int] = (8, 16)) -> Tensor:
    """Refine maps by an image.

    Args:
        logits: [B, C, H, W] float32; any maps.
        image: [B, 3, H', W'] float32. How a colour channel is scaled or shifted hardly matters.
        iterations: How often to average.
        dilations: Distances of the neighbours in pixels, 8 neighbours at each.

    Returns:
        [B, C, H', W'] float32, every value within the range of its map. Maps of another size than the image are first
        resized to it, bilinearly with aligned corners, as the authors do.
    """
    height, width = image.shape[-2:]
    if logits.shape[-2:] != image.shape[-2:]:
        logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=True)
    neighbours, weights = pamr_weights(image, dilations)
    refined = torch.empty_like(logits, memory_format=torch.contiguous_format)
    groups = -(-logits.shape[1] // MAPS)
    for some, out in zip(logits.chunk(groups, dim=1), refined.chunk(groups, dim=1), strict=True):
        rows = some.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).flatten(0, 2)
        rows = smooth(rows, neighbours, weights, iterations)
        out.copy_(rows.view(-1, height, width, some.shape[1]).permute(0, 3, 1, 2))
    return refined


def pamr_weights(image: Tensor, dilations: Sequence[int] = (8, 16)) -> tuple[Tensor, Tensor]:
    """Neighbours of every pixel and their weights.

    The weight is a softmax over all neighbours of ``-|I_p - I_n| / (1e-8 + 0.1 std)``, averaged over the colours, with
    the standard deviation over the pixel's whole neighbourhood, in which it counts itself once per dilation. Beyond the
    border, border pixels are repeated.

    Args:
        image: [B, 3, H, W] float32.
        dilations: As for :func:`pamr`.

    Returns:
        [B * H * W, 8 * len(dilations)] int32 rows of the neighbours, and their float32 weights, adding up to 1.
    """
    batch, _, height, width = image.shape
    within = _neighbours(height, width, tuple(dilations), image.device)
    colours = image.float().flatten(2)
    distance = torch.zeros(batch, *within.shape, device=image.device)
    for channel in range(colours.shape[1]):
        centre = colours[:, channel, :, None]
        around = colours[:, channel, within.long()]
        # The pixel itself counts once per dilation.
        count = 9 * len(dilations)
        mean = (around.sum(dim=-1, keepdim=True) + len(dilations) * centre) / count
        squares = (around - mean).square().sum(dim=-1, keepdim=True) + len(dilations) * (centre - mean).square()
        deviation = (squares / (count - 1)).sqrt()
        distance += (around - centre).abs_() / (1e-8 + 0.1 * deviation)
    weights = (-distance / colours.shape[1]).softmax(dim=-1)
    first = torch.arange(batch, dtype=torch.int32, device=image.device) * height * width
    return (within + first[:, None, None]).flatten(0, 1), weights.flatten(0, 1)


@torch.no_grad()
def smooth(rows: Tensor, neighbours: Tensor, weights: Tensor, iterations: int) -> Tensor:
    """Replace every row by the weighted sum of its neighbours' rows, again and again.

    Args:
        rows: [N, C] float32, one row a pixel; contiguous, and overwritten.
        neighbours: [N, K] int32.
        weights: [N, K] float32.
        iterations: How often.

    Returns:
        [N, C] float32.
    """
    block = CPU_BLOCK // rows.shape[1] + 1 if rows.device.type == "cpu" else len(rows)
    spare = torch.empty_like(rows)
    for _ in range(iterations):
        for some, near, share in zip(spare.split(block), neighbours.split(block), weights.split(block), strict=True):
            some.copy_(F.embedding_bag(near, rows, mode="sum", per_sample_weights=share))
        rows, spare = spare, rows
    return rows


@KEPT.keep
def _neighbours(height: int, width: int, dilations: tuple[int, ...], device: torch.device) -> Tensor:
    """[H * W, 8 * len(dilations)] int32, the positions of every pixel's neighbours in the flattened image."""
    steps = [(d * y, d * x) for d in dilations for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    positions = [
        (rows + dy).clamp(0, height - 1)[:, None] * width + (columns + dx).clamp(0, width - 1) for dy, dx in steps
    ]
    return torch.stack(positions, dim=-1).flatten(0, 1).int()
