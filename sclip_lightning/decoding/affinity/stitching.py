"""Windows put together again: what overlapping windows have for one patch of the image is averaged.

As in Moon, Oh, Ro (OV-Stitcher), CVPR 2026 Findings, arXiv 2604.08110.
"""

import torch
from torch import Tensor

from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.windows import WindowGrid

__all__ = ["Canvas"]


class Canvas:
    """The mean of windows on the patches of the whole image, to which windows are added one after the other.

    A window's first patch lies on the image's patch that its first pixel falls into; where that is no multiple of the
    patch, as for a last window that was shifted back, the window is misplaced by less than a patch. Of a window with
    margins only the patches inside count: it begins with the first that has none of the margin.

    Args:
        grid: Where the windows lie.
        patch_size: Height and width of a patch in pixels.

    Raises:
        ConfigError: Several windows that are no whole patches: some patches of the image would lie in none.
        DataError: The image is smaller than one patch.
    """

    def __init__(self, grid: WindowGrid, patch_size: tuple[int, int]) -> None:
        sides = list(
            zip(grid.image_size, grid.window_size, (grid.tops, grid.lefts), grid.margins, patch_size, strict=True)
        )
        if any(len(starts) > 1 and window % patch for _, window, starts, _, patch in sides):
            msg = (
                f"Windows of {grid.window_size[0]} x {grid.window_size[1]} pixels are no whole number of patches of "
                f"{patch_size[0]} x {patch_size[1]}, and put together they would leave out some of the image. Set "
                "--model.crop to a multiple of both networks' patches (published: 336 or 224), or to 0."
            )
            raise ConfigError(msg)
        #: Rows and columns of the image's patches.
        self.size = grid.image_size[0] // patch_size[0], grid.image_size[1] // patch_size[1]
        if 0 in self.size:
            msg = (
                f"An image of {grid.image_size[0]} x {grid.image_size[1]} pixels (height x width, after resizing) is "
                f"smaller than one patch of {patch_size[0]} x {patch_size[1]}. Raise --data.short_side or skip it."
            )
            raise DataError(msg)
        self._places = [(top // patch_size[0], left // patch_size[1]) for top in grid.tops for left in grid.lefts]
        self._inside = [window // patch for _, window, _, _, patch in sides]
        self._margins = [-(-before // patch) for *_, (before, _), patch in sides]
        self._total: Tensor | None = None
        self._count = torch.zeros(*self.size, 1)
        self._number = 0

    def add(self, windows: Tensor) -> None:
        """Add the next B windows, [B, r, c, C] with a value for each patch, margins included."""
        if self._total is None:
            self._total = torch.zeros(*self.size, windows.shape[-1], device=windows.device)
        height, width = self._inside
        # Where patches divide a padded window with a remainder, there may be one less than would follow the margin.
        top, left = (
            min(margin, have - wanted)
            for margin, have, wanted in zip(self._margins, windows.shape[1:3], self._inside, strict=True)
        )
        for window in windows[:, top : top + height, left : left + width].float():
            row, column = self._places[self._number]
            self._total[row : row + height, column : column + width] += window
            self._count[row : row + height, column : column + width] += 1
            self._number += 1

    def mean(self) -> Tensor:
        """[rows * columns, C] float32, once all windows have been added; it takes their place, so only once."""
        assert self._total is not None and self._number == len(self._places)
        mean, self._total = self._total.div_(self._count.to(self._total.device)), None
        return mean.flatten(0, 1)
