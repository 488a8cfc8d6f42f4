"""Merging window logits as linear algebra.

The published loop resizes each window's logits to the window's pixels, adds them into a canvas, divides by how many
windows cover each pixel and resizes the canvas to the original image. Every step is linear in the logits and acts on
rows and columns separately: windows form a grid, so the count is a product of a row count and a column count. The whole
is therefore ``A_y @ L @ A_x.T`` per query, with ``L`` the logits of all windows side by side as one sheet. The two
operators depend on sizes only and are nearly empty, and any block of output rows can be made without the rest.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from sclip_lightning.windows.grid import WindowGrid

__all__ = ["MergedLogits", "bilinear_operator", "merge_operators"]

#: Elements in a block of merged logits: 8 MiB of float32, which stays near a CPU's cache ...
CPU_BLOCK = 2**21
#: ... and 256 MiB on an accelerator, where fewer and larger kernels are faster.
ACCELERATOR_BLOCK = 2**26


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
        self._rows, columns = merge_operators(grid, cells, output_size)
        # [rows of windows, h, Q, columns of windows, w]: one matrix product resizes all columns.
        sheet = logits.reshape(len(grid.tops), len(grid.lefts), *cells, self.queries).permute(0, 2, 4, 1, 3)
        sheet = sheet.reshape(-1, columns.shape[1])
        self._sheet = self._product(sheet, columns.T.to(self.device)).view(self._rows.shape[1], -1)

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield (rows, [len(rows), Q, W] float32) from the top of the image to its bottom."""
        height, width = self.output_size
        budget = CPU_BLOCK if self.device.type == "cpu" else ACCELERATOR_BLOCK
        step = max(budget // (self.queries * width), 1)
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            operator = self._rows[rows]
            used = operator.any(dim=0).nonzero().squeeze(1)  # a few rows of cells matter to a block of output rows
            block = self._product(operator[:, used].to(self.device), self._sheet[used.to(self.device)])
            yield rows, block.view(-1, self.queries, width)

    def full(self) -> Tensor:
        """The whole map, [Q, H, W] float32."""
        return torch.cat([block.transpose(0, 1) for _, block in self], dim=1)

    @staticmethod
    def _product(a: Tensor, b: Tensor) -> Tensor:
        with torch.autocast(a.device.type, enabled=False):
            return a @ b


def merge_operators(grid: WindowGrid, cells: tuple[int, int], output_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The operators A_y and A_x of the separable merge.

    Args:
        grid: Where the windows lie in the network's input image.
        cells: (h, w), rows and columns of logits per window.
        output_size: (H, W) of the merged logits in pixels.

    Returns:
        A_y [H, len(tops) * h] and A_x [W, len(lefts) * w], float32 on the CPU, non-negative, rows adding up to 1.
    """
    starts = (grid.tops, grid.lefts)
    sides = zip(grid.image_size, grid.window_size, grid.margins, starts, cells, output_size, strict=True)
    a_y, a_x = (_axis_operator(*side) for side in sides)
    return a_y, a_x


def bilinear_operator(source: int, target: int) -> Tensor:
    """The matrix of one axis of ``interpolate(mode="bilinear", align_corners=False)``; [target, source] float64."""
    position = (torch.arange(target, dtype=torch.float64) + 0.5) * (source / target) - 0.5
    position = position.clamp(min=0)
    low = position.floor().long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    fraction = position - low
    operator = torch.zeros(target, source, dtype=torch.float64)
    row = torch.arange(target)
    operator[row, low] += 1 - fraction
    operator[row, high] += fraction
    return operator


@lru_cache(maxsize=256)
def _axis_operator(
    side: int, window: int, margin: tuple[int, int], starts: tuple[int, ...], cells: int, output: int
) -> Tensor:
    interpolate = bilinear_operator(cells, window + sum(margin))[margin[0] : margin[0] + window]
    canvas = torch.zeros(side, len(starts) * cells, dtype=torch.float64)
    count = torch.zeros(side, 1, dtype=torch.float64)
    for i, start in enumerate(starts):
        canvas[start : start + window, i * cells : (i + 1) * cells] = interpolate
        count[start : start + window] += 1
    return (bilinear_operator(side, output) @ (canvas / count)).float()
