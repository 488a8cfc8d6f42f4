"""The graph of an image's pixels: each is joined to those around it, by how near their colours are.

Stojnić, Kalantidis, Matas, Tolias, "LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic
Segmentation", CVPR 2025, arXiv 2503.19777; constants as in vladan-stojnic/LPOSS at e489a74. Lab as for sRGB and D65.

The matrix is stored as dense blocks: for four pixels side by side the weights to all pixels within reach of any of
them. A fifth of these are zeros for 13 x 13 neighbours, but a product is then one of dense matrices, and there are no
indices. On one CPU thread, 448 x 597 pixels: weights take 0.22 GB, where lists of neighbours take 0.36, and half a
second to make, where these take three; a product takes 0.07, 0.15 and 0.63 s for 1, 43 and 171 columns, where
``torch.sparse_csr`` takes 0.07, 0.19 and 0.88 s and ``embedding_bag`` 0.09, 0.14 and 0.56 s.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PixelGraph", "lab", "pixel_graph", "system"]

#: Columns of pixels in a strip, whose pixels share blocks row by row.
STRIP = 4
#: Lab of what lies outside the image: so far away that its weights are exact zeros.
NOWHERE = 1e6

#: From linear red, green and blue to X, Y and Z (sRGB), and those of its white (D65).
_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)


def lab(rgb: Tensor) -> Tensor:
    """CIE Lab [3, H, W] of sRGB colours [3, H, W] in 0..1; float32. L is 0..100, a and b about -128..128."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp(min=0).pow(2.4), rgb / 12.92)
    red, green, blue = linear
    # Sums of three, not a matrix product: edges between colours are so steep that its other rounding would be seen.
    xyz = torch.stack([(r * red + g * green + b * blue) / w for (r, g, b), w in zip(_XYZ, _WHITE, strict=True)])
    x, y, z = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856).pow(1 / 3), 7.787 * xyz + 4 / 29)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@dataclass(frozen=True, eq=False)
class PixelGraph:
    """A symmetric matrix over the pixels of an image, whose entries join pixels near each other.

    Attributes:
        blocks: One for each strip of columns, [H, STRIP, near] float32: of each pixel in a row of the strip the weights
            to the (2 reach + 1) x (STRIP + 2 reach) pixels around these, row by row. The last strip may reach out of
            the image; what belongs to no pixel is without effect.
        size: (H, W) of the image.
        reach: Pixels in each direction.
    """

    blocks: Sequence[Tensor]
    size: tuple[int, int]
    reach: int

    def product(self, columns: Tensor) -> Tensor:
        """The matrix times columns [H * W, Q] float32, pixels row by row; [H * W, Q]."""
        maps = columns.view(*self.size, -1)
        result = torch.empty_like(maps)
        # Zeros outside: whatever a weight to there is, it counts nothing.
        strips = zip(self.blocks, _strips(maps, self.reach), result.split(STRIP, dim=1), strict=True)
        for block, around, here in strips:
            here.copy_(torch.bmm(block, around)[:, : here.shape[1]])
        return result.view_as(columns)


def pixel_graph(colours: Tensor, neighbours: int, tau: float) -> PixelGraph:
    """Join every pixel to those around it with ``exp(-|c_i - c_j| / tau)``, and not to itself.

    Args:
        colours: c, [3, H, W] float32.
        neighbours: Side of the square of neighbours in pixels; an even number counts as the next smaller odd one.
        tau: Distance of colours at which a weight has fallen to 1 / e, above 0.
    """
    reach = neighbours // 2
    own, near = _places(reach, colours.device)
    blocks = []
    for around in _strips(colours.permute(1, 2, 0).contiguous(), reach, NOWHERE):
        squares = colours.new_zeros(len(around), *near.shape)
        for there in around.unbind(dim=2):
            squares.add_((there[:, own, None] - there[:, None]).square_())
        blocks.append(squares.sqrt_().div_(-tau).exp_().mul_(near))
    return PixelGraph(blocks, (colours.shape[1], colours.shape[2]), reach)


def system(graph: PixelGraph, alpha: float) -> PixelGraph:
    """I - alpha D^-1/2 W D^-1/2 with the row sums D, where 1 stands for a sum of 0.

    Args:
        graph: W. It is written over: there is not always room for two.
        alpha: From 0 to below 1.

    Returns:
        The same graph.
    """
    degrees = graph.product(graph.blocks[0].new_ones(math.prod(graph.size), 1))
    scales = degrees.where(degrees > 0, 1).rsqrt().view(*graph.size, 1)
    own, _ = _places(graph.reach, scales.device)
    for block, around in zip(graph.blocks, _strips(scales, graph.reach), strict=True):
        scale = around[..., 0]
        block.mul_(scale[:, own, None] * -alpha).mul_(scale[:, None])
        block[:, torch.arange(STRIP), own] = 1
    return graph


def _strips(maps: Tensor, reach: int, outside: float = 0.0) -> Iterator[Tensor]:
    """What lies around each row of each strip of [H, W, C] maps: [H, near, C], overwritten when the next is asked for.

    A view: what lies around neighbouring rows overlaps.
    """
    height, width, channels = maps.shape
    side, rows = STRIP + 2 * reach, 2 * reach + 1
    buffer = maps.new_full((height + 2 * reach, side, channels), outside)
    around = buffer.as_strided((height, rows * side, channels), (side * channels, channels, 1))
    for left in range(-reach, width - reach, STRIP):
        first, last = max(left, 0), min(left + side, width)
        buffer[reach : reach + height, first - left : last - left] = maps[:, first:last]
        buffer[:, last - left :] = outside
        yield around


def _places(reach: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where a strip's pixels stand among those around them, [STRIP] int64; which of these are neighbours of each.

    The second is [STRIP, near] float32, 1 or 0; a pixel is no neighbour of itself.
    """
    side = STRIP + 2 * reach
    own = torch.arange(STRIP, device=device)
    places = torch.arange(side, device=device)
    near = ((places - reach - own[:, None]).abs() <= reach).float().repeat(1, 2 * reach + 1)
    own = own + reach * side + reach
    near[torch.arange(STRIP, device=device), own] = 0
    return own, near
