"""Maps at another size, a block of rows at a time: all of them at a photograph's size would take gigabytes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from sclip_lightning.windows.merge import ACCELERATOR_BLOCK, CPU_BLOCK, between

__all__ = ["ResizedMaps"]


class ResizedMaps:
    """Maps brought to another size, bilinear without aligned corners, row block by row block whenever they are read.

    Args:
        maps: [C, h, w] float32.
        output_size: (H, W) in pixels; the maps themselves are read where it is theirs.
    """

    def __init__(self, maps: Tensor, output_size: tuple[int, int]) -> None:
        self.maps = maps
        self.output_size = output_size
        self._same = (maps.shape[1], maps.shape[2]) == output_size

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield (rows, [C, len(rows), W] float32) from the top of the image to its bottom."""
        if self._same:
            yield slice(0, self.output_size[0]), self.maps
            return
        count, (height, width), device = len(self.maps), self.output_size, self.maps.device
        (above, below, down), (left, right, across) = (
            (low.to(device), high.to(device), share.float().to(device))
            for low, high, share in map(between, self.maps.shape[1:], self.output_size)
        )
        budget = CPU_BLOCK if device.type == "cpu" else ACCELERATOR_BLOCK
        step = max(budget // (count * width), 1)
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            first, last = int(above[top]), int(below[rows.stop - 1])
            some = self.maps[:, first : last + 1]
            wide = torch.lerp(some[:, :, left], some[:, :, right], across)  # there are fewer rows yet
            yield rows, torch.lerp(wide[:, above[rows] - first], wide[:, below[rows] - first], down[rows, None])

    def full(self) -> Tensor:
        """All of them, [C, H, W] float32, of the same blocks."""
        if self._same:
            return self.maps
        whole = self.maps.new_empty(len(self.maps), *self.output_size)
        for rows, block in self:
            whole[:, rows] = block
        return whole
