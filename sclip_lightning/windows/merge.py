"""Merging window logits as linear algebra.

The published loop resizes each window's logits to the window's pixels, adds them into a canvas, divides by how many
windows cover each pixel and resizes the canvas to the original image. Every step is linear in the logits and acts on
rows and columns separately: windows form a grid, so the count is a product of a row count and a column count. The whole
is therefore ``A_y @ L @ A_x.T`` per query, with ``L`` the logits of all windows side by side as one sheet. The two
operators depend on sizes only and are nearly empty, and any block of output rows can be made without the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sclip_lightning.windows.cache import KEPT
from sclip_lightning.windows.grid import WindowGrid

__all__ = ["MergedLogits", "between", "bilinear_operator", "merge_operators", "resize_operator"]

#: Elements in a block of merged logits: 8 MiB of float32, which stays near a CPU's cache ...
CPU_BLOCK = 2**21
#: ... and 256 MiB on an accelerator, where fewer and larger kernels are faster.
ACCELERATOR_BLOCK = 2**26
#: Elements that logits may have once their columns are at the output's width (1 GiB); beyond, rows of cells are brought
#: to that width when a block of output rows needs them.
WIDE = 2**28
#: Elements of an operator of one axis (1 GiB of float64) beyond which it is not made as a matrix.
LARGE_OPERATOR = 2**27


class MergedLogits:
    """Logits of one image at the output size, made row block by row block whenever they are read.

    Always computed in float32, whatever autocast says around it.

    Args:
        logits: [len(grid), h, w, Q] float32 logits of the image's windows.
        grid: Where the windows lie.
        output_size: (H, W) of the merged logits in pixels.
    """

    def __init__(self, logits: Tensor, grid: WindowGrid, output_size: tuple[int, int]) -> None:
        self.output_size = output_size
        self.queries = logits.shape[-1]
        self.device = logits.device
        cells = logits.shape[1], logits.shape[2]
        self._down, across = _sides(grid, cells, output_size)
        columns = _axis_operator(*across, self.device)
        # [rows of windows, h, Q, columns of windows, w]: one matrix product resizes all columns.
        sheet = logits.reshape(len(grid.tops), len(grid.lefts), *cells, self.queries).permute(0, 2, 4, 1, 3)
        sheet = sheet.reshape(-1, columns.shape[1])
        self._columns: Tensor | None = None
        if len(sheet) * output_size[1] > WIDE:
            self._sheet, self._columns = sheet, columns.T
        else:
            self._sheet = self._product(sheet, columns.T)
        self._sheet = self._sheet.view(len(grid.tops) * cells[0], -1)

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield (rows, [len(rows), Q, W] float32) from the top of the image to its bottom."""
        budget = CPU_BLOCK if self.device.type == "cpu" else ACCELERATOR_BLOCK
        step = max(budget // (self.queries * self.output_size[1]), 1)
        wide: dict[int, Tensor] = {}
        used: tuple[int, ...] = ()
        cells = torch.empty(0)
        for block in _row_blocks(*self._down, step, self.device):
            if block.used != used:  # with many queries several blocks lie within a row of cells
                del cells
                used, cells = block.used, self._cells(block, wide)
            yield block.rows, self._product(block.operator, cells).view(-1, self.queries, self.output_size[1])

    def _cells(self, block: "_RowBlock", wide: dict[int, Tensor]) -> Tensor:
        """Rows of cells [len(block.used), Q * W], their columns at the output's width.

        Args:
            block: Of which rows.
            wide: Those of the block before, where columns are resized on the way; holds those of this one afterwards.
        """
        if self._columns is None:
            return self._sheet[block.index]
        for row in wide.keys() - set(block.used):
            del wide[row]
        for row in block.used:
            if row not in wide:
                wide[row] = self._product(self._sheet[row].view(self.queries, -1), self._columns).view(-1)
        return torch.stack([wide[row] for row in block.used])

    def full(self) -> Tensor:
        """The whole map, [Q, H, W] float32; besides it, there is never more than one block."""
        ((_, whole),) = self.bands(self.output_size[0])
        return whole

    def bands(self, height: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield (rows, [Q, len(rows), W] float32), ``height`` rows at a time, of the same blocks as the whole map."""
        start, stop = 0, 0
        for rows, block in self:
            begin = rows.start
            while begin < rows.stop:
                if begin == stop:
                    start, stop = begin, min(begin + height, self.output_size[0])
                    band = torch.empty(self.queries, stop - start, self.output_size[1], device=self.device)
                end = min(rows.stop, stop)
                band[:, begin - start : end - start] = block[begin - rows.start : end - rows.start].transpose(0, 1)
                if end == stop:
                    yield slice(start, stop), band
                begin = end

    @staticmethod
    def _product(a: Tensor, b: Tensor) -> Tensor:
        with torch.autocast(a.device.type, enabled=False):
            return a @ b


@dataclass(frozen=True)
class _RowBlock:
    """What a block of output rows is made of.

    Attributes:
        rows: Which.
        used: The few rows of cells that matter to it.
        index: [len(used)] int64, the same, on the device.
        operator: [len(rows), len(used)] float32, on the device.
    """

    rows: slice
    used: tuple[int, ...]
    index: Tensor
    operator: Tensor


#: Side of the image, of a window and of its margins, where windows begin, their cells and the output's side.
_Side = tuple[int, int, tuple[int, int], tuple[int, ...], int, int]


def merge_operators(
    grid: WindowGrid, cells: tuple[int, int], output_size: tuple[int, int], device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """The operators A_y and A_x of the separable merge.

    Args:
        grid: Where the windows lie in the network's input image.
        cells: (h, w), rows and columns of logits per window.
        output_size: (H, W) of the merged logits in pixels.
        device: Where they are needed; by default on the CPU.

    Returns:
        A_y [H, len(tops) * h] and A_x [W, len(lefts) * w], float32, non-negative, rows adding up to 1.
    """
    a_y, a_x = (_axis_operator(*side, device or torch.device("cpu")) for side in _sides(grid, cells, output_size))
    return a_y, a_x


def _sides(grid: WindowGrid, cells: tuple[int, int], output_size: tuple[int, int]) -> tuple[_Side, _Side]:
    starts = (grid.tops, grid.lefts)
    down, across = zip(grid.image_size, grid.window_size, grid.margins, starts, cells, output_size, strict=True)
    return down, across


def bilinear_operator(source: int, target: int) -> Tensor:
    """The matrix of one axis of ``interpolate(mode="bilinear", align_corners=False)``; [target, source] float64."""
    low, high, fraction = between(source, target)
    operator = torch.zeros(target, source, dtype=torch.float64)
    row = torch.arange(target)
    operator[row, low] += 1 - fraction
    operator[row, high] += fraction
    return operator


def between(source: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each of ``target`` places the two of ``source`` around it, and how far it is from the first to the second.

    Two [target] int64 and one float64 in [0, 1], on the CPU.
    """
    position = (torch.arange(target, dtype=torch.float64) + 0.5) * (source / target) - 0.5
    position = position.clamp(min=0)
    low = position.floor().long().clamp(max=source - 1)
    return low, (low + 1).clamp(max=source - 1), position - low


@KEPT.keep
def resize_operator(source: int, target: int, device: torch.device) -> Tensor:
    """:func:`bilinear_operator` as float32 on a device, kept."""
    return bilinear_operator(source, target).float().to(device, non_blocking=True)


@KEPT.keep
def _row_blocks(
    side: int,
    window: int,
    margin: tuple[int, int],
    starts: tuple[int, ...],
    cells: int,
    output: int,
    step: int,
    device: torch.device,
) -> list[_RowBlock]:
    operator = _axis_operator(side, window, margin, starts, cells, output, torch.device("cpu"))
    blocks = []
    for top in range(0, output, step):
        rows = slice(top, min(top + step, output))
        used = operator[rows].any(dim=0).nonzero().squeeze(1)
        tables = (table.to(device, non_blocking=True) for table in (used, operator[rows][:, used]))
        blocks.append(_RowBlock(rows, tuple(used.tolist()), *tables))
    return blocks


@KEPT.keep
def _axis_operator(
    side: int,
    window: int,
    margin: tuple[int, int],
    starts: tuple[int, ...],
    cells: int,
    output: int,
    device: torch.device,
) -> Tensor:
    interpolate = bilinear_operator(cells, window + sum(margin))[margin[0] : margin[0] + window]
    canvas = torch.zeros(side, len(starts) * cells, dtype=torch.float64)
    count = torch.zeros(side, 1, dtype=torch.float64)
    for i, start in enumerate(starts):
        canvas[start : start + window, i * cells : (i + 1) * cells] = interpolate
        count[start : start + window] += 1
    return _resized(canvas / count, output).float().to(device, non_blocking=True)


def _resized(matrix: Tensor, target: int) -> Tensor:
    """``bilinear_operator(len(matrix), target) @ matrix``."""
    if len(matrix) == target:  # the operator is the identity
        return matrix
    if len(matrix) * target <= LARGE_OPERATOR:
        return bilinear_operator(len(matrix), target) @ matrix
    low, high, fraction = between(len(matrix), target)
    return torch.lerp(matrix[low], matrix[high], fraction[:, None])
