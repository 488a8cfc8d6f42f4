"""Gaussian filtering of scattered points on the permutohedral lattice, in plain torch.

Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010, with the
symmetric normalisation of Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials", NIPS 2011. Values are splatted to the corners of the simplex around each point, blurred along the d + 1
lattice directions, and read back.

Every step is a sparse matrix times [points, channels]. Points are splatted in blocks, so that whoever makes the values
can hand each block over while it is still in the cache; the blocks' sums are then added up per vertex.

The float32 operations are in the order of pydensecrf. A change in the last digit of a coordinate can make a vertex
appear or vanish.
"""

import math
from itertools import accumulate
from operator import mul

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine.crf.row_sums import RowSums

__all__ = ["PermutohedralLattice"]

#: Rows in a block on the CPU: up to a few MiB with some hundred channels.
CPU_BLOCK = 8192
#: On an accelerator one block has all rows, but no thread adds up more than the points of such a piece in turn.
ACCELERATOR_PIECE = 256
#: Points whose simplices are looked for at once: intermediate results then are small beside what is kept.
POINTS = 2**17


class PermutohedralLattice:
    """The symmetrically normalised Gaussian filter ``n * G(n * values)``, ``n = 1 / sqrt(G(1))``, of N points.

    Building takes most of the time of a single filtering; a lattice is worth keeping.

    Args:
        features: [N, d] float32 positions in units of the filter's standard deviation.

    Attributes:
        vertices: [N, d + 1] int32, the corners of the simplex around each point, numbers below ``size``.
        weights: [N, d + 1] float32, with which to read the corners: the filter's output at a point is their sum.
        norm: [N, 1] float32, n.
        size: M, the number of vertices.
        blocks: The blocks of points that :meth:`splat` takes one by one.
        splat_rows: P, the rows of the buffer that :meth:`splat` fills.

    Raises:
        ConfigError: The points spread over too many standard deviations to number the lattice.
    """

    #: What one of five axes takes for each point at the least: corners, weights, and what splats them.
    BYTES = 6 * 4 * 4

    def __init__(self, features: Tensor) -> None:
        points, d = features.shape
        # pydensecrf works on four points at a time and fills up with zeros, whose vertices then exist.
        padded = F.pad(features.T, (0, 1)) if points % 4 else features.T
        cell, rank, weights = _enclosing_simplices(padded.contiguous())
        # What is no longer needed goes at once: for a photograph each takes as much as a part of what is kept.
        del padded
        self.weights = weights[:points].contiguous()
        del weights
        vertices, codes, directions = _vertices(cell, rank)
        del cell, rank
        self.size = len(codes)
        self.vertices = vertices[:points].contiguous()
        del vertices

        on_cpu = features.device.type == "cpu"
        size = CPU_BLOCK if on_cpu else max(points, self.size)
        piece = CPU_BLOCK if on_cpu else ACCELERATOR_PIECE
        self.blocks = [slice(start, min(start + size, points)) for start in range(0, points, size)]
        self._blurs = [_blur(codes, direction, size) for direction in directions]
        self._splat, self._merge = self._splatting(size, piece)
        self.splat_rows = len(self._splat.keys)

        ones = features.new_ones(points, 1)
        self.weights *= 1 / (1 + 2.0**-d)
        self.norm = (self.filter(ones) + 1e-20).sqrt().reciprocal()
        self.weights *= self.norm
        for i, block in enumerate(self.blocks):
            self._splat.scale(i, self.norm[block, 0])

    def _splatting(self, block: int, piece: int) -> tuple[RowSums, RowSums]:
        """The sums over each piece of points, and those of the pieces."""
        points, corners = self.vertices.shape
        point = torch.arange(points, device=self.vertices.device)
        first = point // piece * self.size
        narrow = (points // piece + 1) * self.size < 2**31
        key = (first.int() if narrow else first)[:, None] + self.vertices
        index = (point % block).int()[:, None].expand(-1, corners)
        starts = [block.start // piece * self.size for block in self.blocks]
        splat = RowSums(key.flatten(), index.flatten(), self.weights.flatten(), starts)
        del key, index
        rows = torch.arange(len(splat.keys), device=point.device)
        merge = RowSums(splat.keys % self.size, rows, None, range(0, self.size, block), self.size)
        return splat, merge

    def splat(self, block: int, values: Tensor, sums: Tensor) -> None:
        """Splat one block of points.

        Args:
            block: Its number in ``blocks``.
            values: [n, C] float32 at the block's points.
            sums: [P, C] float32; the block's rows are overwritten. All blocks together fill it.
        """
        self._splat.block(block, values, sums)

    def blur(self, sums: Tensor, out: Tensor, spare: Tensor) -> None:
        """Add up the splatted blocks and blur them.

        Args:
            sums: [P, C] float32, filled by :meth:`splat`.
            out: [M, C] float32, overwritten with the values at the vertices.
            spare: Another one, overwritten.
        """
        # They take turns; the first is chosen so that the last is ``out``.
        old, new = (spare, out) if len(self._blurs) % 2 else (out, spare)
        self._merge(sums, old)
        for blur in self._blurs:
            blur(old, new)
            old, new = new, old

    def filter(self, values: Tensor) -> Tensor:
        """Filter [N, C] float32 values at the points."""
        sums = values.new_empty(self.splat_rows, values.shape[1])
        for i, block in enumerate(self.blocks):
            self.splat(i, values[block], sums)
        grid, spare = values.new_empty(2, self.size, values.shape[1])
        self.blur(sums, grid, spare)
        return F.embedding_bag(self.vertices, grid, mode="sum", per_sample_weights=self.weights)


def _enclosing_simplices(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the simplex around each point.

    Args:
        features: [d, N] float32.

    Returns:
        cell [d + 1, N] int32, the simplex's vertex of remainder 0 divided by d + 1; rank [d + 1, N] int32, which place
        each coordinate of the point's offset from it has in descending order; [N, d + 1] float32 barycentric
        coordinates of the vertices of remainder 0..d.
    """
    axes, points = features.shape
    cells, ranks = torch.empty(2, axes + 1, points, dtype=torch.int32, device=features.device)
    weights = features.new_empty(points, axes + 1)
    for start in range(0, points, POINTS):
        some = slice(start, start + POINTS)
        cells[:, some], ranks[:, some], weights[some] = _simplices_of(features[:, some])
    return cells, ranks, weights


def _simplices_of(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for a part of the points."""
    d, points = features.shape
    # Rounded to float32 after each step, as pydensecrf does.
    deviation = _float32(math.sqrt(2 / 3) * (d + 1))
    elevated = features.new_empty(d + 1, points)
    total = features.new_zeros(points)
    for j in range(d, 0, -1):
        scaled = features[j - 1] * _float32(deviation / math.sqrt(j * (j + 1)))
        elevated[j] = total - j * scaled
        total = total + scaled
    elevated[0] = total

    rounded = torch.round(elevated / (d + 1))
    offset = elevated - (d + 1) * rounded
    rank = rounded.sum(dim=0).int().repeat(d + 1, 1)
    for i in range(d):
        behind = offset[i] < offset[i + 1 :]
        rank[i] += behind.sum(dim=0, dtype=torch.int32)
        rank[i + 1 :] += ~behind
    del offset, behind
    # The rounded coordinates may not add up to 0; the first or last ranks then move to the next multiple of d + 1.
    wrap = (rank < 0).int() - (rank > d).int()
    rank += (d + 1) * wrap
    cell = rounded.int() + wrap
    del rounded, wrap

    ordered = torch.empty_like(elevated).scatter_(0, rank.long(), (elevated - (d + 1) * cell).div_(d + 1))
    weights = elevated  # its place, no longer needed
    weights[0] = ordered[d] + (1 - ordered[0])
    weights[1:] = (ordered[:-1] - ordered[1:]).flip(0)
    return cell, rank, weights.T


def _vertices(cell: Tensor, rank: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Number the vertices of the simplices.

    Args:
        cell: [d + 1, N] int32, see :func:`_enclosing_simplices`.
        rank: [d + 1, N] int32, likewise.

    Returns:
        [N, d + 1] int32, the numbers of the vertices of remainder 0..d; [M] int64, the vertices' codes in ascending
        order; the code's change along each of the d + 1 lattice directions.
    """
    d = len(cell) - 1
    # Many points share a simplex: a quarter is left on a photograph.
    code, _ = _mixed_radix(torch.cat([cell[:d], rank[:d]]))
    simplices, simplex = code.unique(return_inverse=True)
    member = torch.empty_like(simplices).scatter_(0, simplex, torch.arange(len(simplex), device=simplex.device))
    cell, rank = cell[:d, None, member], rank[:d, None, member]

    remainder = torch.arange(d + 1, dtype=torch.int32, device=cell.device)[None, :, None]
    keys = (d + 1) * (cell - (rank > d - remainder).int()) + remainder
    code, places = _mixed_radix(keys.flatten(1), margin=d)
    codes, vertices = code.unique(return_inverse=True)
    directions = [(d + 1) * place - sum(places) for place in [*places, 0]]
    return vertices.int().view(d + 1, -1).T.index_select(0, simplex), codes, directions


def _mixed_radix(digits: Tensor, margin: int = 0) -> tuple[Tensor, list[int]]:
    """Put digits into one number, with room for digits smaller or greater by ``margin``.

    Args:
        digits: [k, N] integers.
        margin: Distance.

    Returns:
        [N] int64 codes and the k place values.
    """
    low = (digits.amin(dim=1) - margin).tolist()
    high = (digits.amax(dim=1) + margin).tolist()
    *places, total = accumulate((b - a + 1 for a, b in zip(low, high, strict=True)), mul, initial=1)
    if total >= 2**63:
        msg = (
            "Gaussian widths sxy in pixels and srgb in grey levels: they are so small that the lattice over the image "
            "cannot be numbered with 64 bits. Published values are sxy 1 to 80 and srgb 3 to 13."
        )
        raise ConfigError(msg)
    code = torch.zeros_like(digits[0], dtype=torch.int64)
    for digit, smallest, place in zip(digits, low, places, strict=True):
        code += (digit.long() - smallest) * place
    return code, places


def _blur(codes: Tensor, direction: int, block: int) -> RowSums:
    """Each vertex plus half of its two neighbours along a direction; missing neighbours count 0."""
    size = len(codes)
    position = torch.searchsorted(codes, codes + direction).clamp(max=size - 1)
    found = codes[position] == codes + direction
    vertex = torch.arange(size, device=codes.device)
    left, right = vertex[found], position[found]
    half = torch.full_like(left, 0.5, dtype=torch.float32)
    return RowSums(
        torch.cat([vertex, left, right]),
        torch.cat([vertex, right, left]),
        torch.cat([torch.ones_like(vertex, dtype=torch.float32), half, half]),
        range(0, size, block),
    )


def _float32(value: float) -> float:
    return torch.tensor(value, dtype=torch.float32).item()
