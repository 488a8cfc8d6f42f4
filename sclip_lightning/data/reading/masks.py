"""Reading a benchmark's images and index masks, and turning stored label values into train ids.

EXIF orientation is not applied, to images no more than to masks, since ground truth is drawn on the pixels as stored.
Masks published as MATLAB files (PASCAL Context, COCO-Stuff 10k) are read by ``matlab``.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from sclip_lightning.data.reading.matlab import matlab_size, read_matlab
from sclip_lightning.data.reading.pixels import decode_rgb, opened
from sclip_lightning.errors import DataError

__all__ = ["IGNORE_INDEX", "LabelMap", "image_size", "mask_size", "read_image", "read_mask"]

#: Train id of pixels that are not scored.
IGNORE_INDEX = 255

#: Pillow modes that hold an index per pixel: palette, up to 8 bit, 16 bit (which older releases open as "I"), 32 bit.
INDEX_MODES = ("P", "L", "I;16", "I;16B", "I;16L", "I")

#: Formats that give back the very values that were stored.
MASK_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "PPM")


def read_image(path: Path, content: bytes | None = None) -> npt.NDArray[np.uint8]:
    """Read an image as [H, W, 3] uint8 RGB; see :func:`decode_rgb`.

    Args:
        path: The file.
        content: Its bytes, where they have been read already.

    Raises:
        DataError: The file is missing, truncated or no image.
    """
    with opened(path, content) as image:
        return decode_rgb(image, str(path))


def read_mask(path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.int32]:
    """Read the stored values of an index mask, [H, W]: uint8 where stored in up to 8 bit, else int32.

    Args:
        path: A palette or grey image of 2 to 32 bit, or a MATLAB file (``.mat``).

    Raises:
        DataError: The file is missing, truncated or no image, or stores colours or no label map.
    """
    if path.suffix == ".mat":
        return read_matlab(path)
    with _opened_mask(path) as image:
        unscale = _unscaling(image, path)  # decoding forgets what the file said
        values = unscale(np.array(image))
    return values if values.dtype == np.uint8 else values.astype(np.int32)


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of an image in pixels, from its header alone; raises DataError where there is none."""
    with opened(path) as image:
        return image.height, image.width


def mask_size(path: Path) -> tuple[int, int]:
    """(H, W) of an index mask in pixels, from its header alone; raises DataError for what cannot hold indices."""
    if path.suffix == ".mat":
        return matlab_size(path)
    with _opened_mask(path) as image:
        _unscaling(image, path)
        return image.height, image.width


class LabelMap:
    """Turns the values that a mask stores into train ids.

    Args:
        train_ids: Train id (or ``IGNORE_INDEX``) of every value that may occur, values in 0..65535.

    Attributes:
        table: [65536] int16, train id of each value, ``OUTSIDE`` where it has none.
    """

    OUTSIDE = -1

    def __init__(self, train_ids: Mapping[int, int]) -> None:
        self.table = np.full(2**16, self.OUTSIDE, dtype=np.int16)
        self.table[list(train_ids)] = list(train_ids.values())

    @classmethod
    def identity(cls, num_classes: int) -> "LabelMap":
        """Masks that store train ids 0..num_classes - 1 and ``IGNORE_INDEX``."""
        return cls({label: label for label in (*range(num_classes), IGNORE_INDEX)})

    @classmethod
    def without_zero(cls, num_classes: int) -> "LabelMap":
        """Masks that store train ids plus 1, and 0 for what is not scored.

        ``IGNORE_INDEX`` is not scored either, unless there are so many classes that one of them is stored as 255.
        """
        labels = {label + 1: label for label in range(num_classes)}
        return cls({0: IGNORE_INDEX, IGNORE_INDEX: IGNORE_INDEX} | labels)

    @property
    def sha256(self) -> str:
        """Hex digest of the table: two maps of one digest mean the same."""
        return hashlib.sha256(self.table.astype("<i2").tobytes()).hexdigest()

    def __call__(self, values: npt.NDArray[np.uint8] | npt.NDArray[np.int32], path: Path) -> npt.NDArray[np.uint8]:
        """Map values to train ids.

        Args:
            values: [H, W] stored values, of any size.
            path: Where they were read, for the error message.

        Returns:
            [H, W] uint8 train ids, ``IGNORE_INDEX`` where nothing is scored.

        Raises:
            DataError: A value is not in the table.
        """
        if values.dtype == np.uint8:
            labels = self.table[values]
        else:  # values of 32 bit need not lie in the table at all
            inside = (values >= 0) & (values < len(self.table))
            labels = np.where(inside, self.table[np.where(inside, values, 0)], np.int16(self.OUTSIDE))
        outside = labels == self.OUTSIDE
        if outside.any():
            msg = (
                f"The mask {path} stores labels outside the table: {_ranges(np.unique(values[outside]))} (in "
                f"{outside.sum()} pixels), expected {_ranges(np.flatnonzero(self.table != self.OUTSIDE))}. Check that "
                "the masks are those of this benchmark."
            )
            raise DataError(msg)
        return labels.astype(np.uint8)


def _ranges(values: npt.NDArray[np.integer]) -> str:
    """Sorted distinct integers as text: 0, 1, 2, 5 becomes "0..2, 5"."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


@contextmanager
def _opened_mask(path: Path) -> Iterator[Image.Image]:
    """Open an index mask, and refuse one that stores colours, or values near those that were meant."""
    with opened(path) as image:
        if image.mode not in INDEX_MODES:
            msg = (
                f"The mask {path} is stored in mode {image.mode}, expected class indices: a palette (P), 8 bit (L) or "
                "16 bit (I;16) PNG. Use the masks as published; a colour rendering of them cannot be scored."
            )
            raise DataError(msg)
        if image.format not in MASK_FORMATS:
            msg = (
                f"The mask {path} is a {image.format} file, a format that need not give back the indices that were "
                f"stored; expected one of {', '.join(MASK_FORMATS)}. Use the masks as published, or save them as PNG."
            )
            raise DataError(msg)
        yield image


def _unscaling(image: Image.Image, path: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """What gives back the values that a file stores, of the pixels that Pillow makes of them.

    Pillow takes grey for brightness. It spreads values of fewer than 8 bit over 0..255, and those of a PGM file over
    0..255 or 0..65535 from the largest that the file names.

    Args:
        image: Opened, but not decoded yet.
        path: Its file, for the error message.

    Raises:
        DataError: A TIFF file whose 0 is white: Pillow inverts its values, others do not.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.mode not in ("L", "I") or not image.tile:
        return lambda pixels: pixels
    decoder, _, _, arguments = image.tile[0]
    raw_mode, *others = arguments if isinstance(arguments, tuple) else (arguments,)
    if image.format == "PPM" and decoder != "raw":
        share = others[0] / (255 if image.mode == "L" else 65535)
        return lambda pixels: np.rint(pixels * share).astype(pixels.dtype)
    _, _, form = str(raw_mode).partition(";")  # such as 2, 4IR or I: bits if fewer than 8, inverted, bits reversed
    if image.mode != "L" or not form:
        return lambda pixels: pixels
    if "I" in form:
        msg = (
            f"The mask {path} stores 0 as white (TIFF's WhiteIsZero), so that programs differ in which indices it "
            "holds; expected 0 as black. Save it as PNG with the program that it is read by elsewhere."
        )
        raise DataError(msg)
    step = np.uint8({"2": 85, "4": 17}.get(form[0], 1))
    return lambda pixels: pixels // step
