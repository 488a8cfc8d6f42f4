"""Where sliding windows lie, and how they are cut out of an image."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError

__all__ = ["WindowGrid", "check_sliding_window", "cut_windows", "window_grid"]


@dataclass(frozen=True)
class WindowGrid:
    """Windows of one size that cover an image, as a grid of row and column positions.

    Attributes:
        image_size: (H, W) of the image in pixels.
        window_size: (h, w) of every window in pixels.
        tops: First pixel row of each row of windows.
        lefts: First pixel column of each column of windows.
        margins: Pixels of zeros around every window, ((top, bottom), (left, right)).
        whole: The image is one window because it is taken whole, not because it is small.
    """

    image_size: tuple[int, int]
    window_size: tuple[int, int]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    margins: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    whole: bool = False

    @property
    def padded_size(self) -> tuple[int, int]:
        """(h, w) of every window with its margins, in pixels."""
        height, width = (side + sum(margin) for side, margin in zip(self.window_size, self.margins, strict=True))
        return height, width

    def borders(self, size: tuple[int, int]) -> tuple[list[int], list[int]]:
        """Rows and columns where a window begins or ends inside the image, scaled to labels of another size.

        Args:
            size: (H, W) of the labels in pixels.

        Returns:
            Rows 1..H-1 and columns 1..W-1, each once and rising, rounded to the nearest: a border at row r lies
            between the pixels of rows r - 1 and r. None where the image is one window.
        """

        def scaled(starts: tuple[int, ...], window: int, side: int, wanted: int) -> list[int]:
            edges = {edge for start in starts for edge in (start, start + window)}
            nearest = {(2 * edge * wanted + side) // (2 * side) for edge in edges}
            return sorted(nearest - {0, wanted})

        (height, width), (tall, wide) = self.image_size, self.window_size
        return scaled(self.tops, tall, height, size[0]), scaled(self.lefts, wide, width, size[1])

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)


def check_sliding_window(crop: int, stride: int) -> None:
    """Refuse a crop and stride that leave pixels uncovered.

    Raises:
        ConfigError: A negative crop, or a stride outside 1..crop while crop is not 0.
    """
    if crop < 0 or (crop > 0 and not 1 <= stride <= crop):
        msg = (
            f"Sliding window with crop {crop} and stride {stride}: the stride must lie between 1 and the crop, or "
            "pixels between windows would belong to none. Set --model.stride to at most --model.crop (published: 224 "
            "and 112), or --model.crop to 0 for the whole image at once."
        )
        raise ConfigError(msg)


def window_grid(height: int, width: int, crop: int, stride: int, multiple: int = 1) -> WindowGrid:
    """Lay windows over an image as SCLIP does.

    Window i starts at ``i * stride``; the last is shifted back so that it ends with the image. A side shorter than the
    crop is covered by one window of that side's length.

    Args:
        height: Image height in pixels.
        width: Image width in pixels.
        crop: Side of a window in pixels; 0 takes the whole image as one window.
        stride: Distance between windows in pixels, at most ``crop``.
        multiple: Windows get margins that bring their sides to a multiple of this, equal on both sides or one pixel
            wider at the bottom and right, as ClearCLIP's and SegEarth-OV's code do; the whole image gets none.
    """
    check_sliding_window(crop, stride)
    if crop == 0:
        return WindowGrid((height, width), (height, width), (0,), (0,), whole=True)

    def starts(side: int) -> tuple[int, ...]:
        count = max(side - crop + stride - 1, 0) // stride + 1
        return tuple(max(min(i * stride, side - crop), 0) for i in range(count))

    def margin(side: int) -> tuple[int, int]:
        lacking = -side % multiple
        return lacking // 2, lacking - lacking // 2

    size = min(crop, height), min(crop, width)
    return WindowGrid((height, width), size, starts(height), starts(width), (margin(size[0]), margin(size[1])))


def cut_windows(images: Tensor, grid: WindowGrid, chosen: slice = slice(None)) -> Tensor:
    """Cut a batch of images of one size into windows.

    Args:
        images: [B, C, H, W] with (H, W) = ``grid.image_size``.
        grid: Where the windows lie.
        chosen: Which of each image's windows; all by default.

    Returns:
        [B * W, C, h, w] with (h, w) = ``grid.padded_size``; an image's W windows follow each other row by row.
    """
    height, width = grid.window_size
    corners = [(y, x) for y in grid.tops for x in grid.lefts][chosen]
    windows = [images[..., y : y + height, x : x + width] for y, x in corners]
    (top, bottom), (left, right) = grid.margins
    return F.pad(torch.stack(windows, dim=1).flatten(0, 1), (left, right, top, bottom))
