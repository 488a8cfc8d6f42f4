"""Reading images and index masks, and turning stored label values into train ids.

Images are decoded by Pillow: it gives the index of a palette PNG, where other decoders give its colours. EXIF
orientation is not applied, to images no more than to masks, since ground truth is drawn on the pixels as stored. Masks
published as MATLAB files (PASCAL Context, COCO-Stuff 10k) are read by SciPy.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sclip_lightning.errors import DataError

__all__ = ["IGNORE_INDEX", "LabelMap", "image_size", "mask_size", "read_image", "read_mask"]

#: Train id of pixels that are not scored.
IGNORE_INDEX = 255

#: Pillow modes that hold an index per pixel: palette, 8 bit, and 16 bit (which older releases open as "I").
INDEX_MODES = ("P", "L", "I;16", "I")

#: What the label map is called in a MATLAB file: by PASCAL Context's publishers, and by COCO-Stuff 10k's.
MATLAB_VARIABLES = ("LabelMap", "S")


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image as [H, W, 3] uint8 RGB.

    Raises:
        DataError: The file is missing, truncated or no image.
    """
    with _opened(path) as image:
        return np.array(image.convert("RGB"))


def read_mask(path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.int32]:
    """Read the stored values of an index mask, [H, W]: uint8 where stored in 8 bit, else int32.

    Args:
        path: A palette, 8 bit or 16 bit image, or a MATLAB file (``.mat``).

    Raises:
        DataError: The file is missing, truncated or no image, or stores colours or no label map.
    """
    if path.suffix == ".mat":
        return _read_matlab(path)
    with _opened_mask(path) as image:
        values = np.array(image)
    return values if values.dtype == np.uint8 else values.astype(np.int32)


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of an image in pixels, from its header alone; raises DataError where there is none."""
    with _opened(path) as image:
        return image.height, image.width


def mask_size(path: Path) -> tuple[int, int]:
    """(H, W) of an index mask in pixels, from its header alone; raises DataError for a mask that stores colours."""
    if path.suffix == ".mat":
        from scipy.io import whosmat

        shapes = {name: shape for name, shape, _ in _matlab(whosmat, path)}
        return _label_map(shapes, path)
    with _opened_mask(path) as image:
        return image.height, image.width


class LabelMap:
    """Turns the values that a mask stores into train ids.

    Args:
        train_ids: Train id (or ``IGNORE_INDEX``) of every value that may occur, values in 0..65535.
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
        """Masks that store train ids plus 1, and 0 (like ``IGNORE_INDEX``) for what is not scored."""
        labels = {label + 1: label for label in range(num_classes)}
        return cls({0: IGNORE_INDEX, **labels, IGNORE_INDEX: IGNORE_INDEX})

    def __call__(self, values: npt.NDArray[np.uint8] | npt.NDArray[np.int32], path: Path) -> npt.NDArray[np.uint8]:
        """Map values to train ids.

        Args:
            values: [H, W] stored values.
            path: Where they were read, for the error message.

        Returns:
            [H, W] uint8 train ids, ``IGNORE_INDEX`` where nothing is scored.

        Raises:
            DataError: A value is not in the table.
        """
        labels = self.table[values]
        outside = labels == self.OUTSIDE
        if outside.any():
            msg = (
                f"The mask {path} stores labels outside the table: {_ranges(np.unique(values[outside]))} (in "
                f"{outside.sum()} pixels), expected {_ranges(np.flatnonzero(self.table != self.OUTSIDE))}. Check that "
                "the masks are those of this very benchmark."
            )
            raise DataError(msg)
        return labels.astype(np.uint8)


def _ranges(values: npt.NDArray[np.integer]) -> str:
    """Sorted distinct integers as text: 0, 1, 2, 5 becomes "0..2, 5"."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _read_matlab(path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.int32]:
    from scipy.io import loadmat

    values = np.asarray(_label_map(_matlab(loadmat, path), path))
    if values.ndim != 2 or values.dtype.kind not in "uif" or not ((values >= 0) & (values < 2**16)).all():
        msg = (
            f"The MATLAB file {path} holds an array of shape {list(values.shape)} and type {values.dtype} as its label "
            "map, expected [H, W] integers in 0..65535. Use the masks as published."
        )
        raise DataError(msg)
    return values if values.dtype == np.uint8 else values.astype(np.int32)


def _matlab(read: Callable[[str], Any], path: Path) -> Any:
    """What a reader of SciPy makes of a MATLAB file; whatever it fails on becomes a DataError."""
    try:
        return read(str(path))
    except Exception as error:  # a damaged file raises whatever the decoder stumbles over, zlib.error for one
        msg = f"{path} cannot be read as a MATLAB file: {error}. Copy or download the file again."
        raise DataError(msg) from error


def _label_map(variables: Mapping[str, Any], path: Path) -> Any:
    for name in MATLAB_VARIABLES:
        if name in variables:
            return variables[name]
    msg = (
        f"The MATLAB file {path} holds no label map: expected a variable {' or '.join(MATLAB_VARIABLES)}, found "
        f"{', '.join(name for name in variables if not name.startswith('__')) or 'none'}. Use the masks as published."
    )
    raise DataError(msg)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file; whatever Pillow fails on, at once or while decoding, becomes a DataError."""
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError) as error:
        msg = f"{path} cannot be read as an image: {error}. Copy or download the file again."
        raise DataError(msg) from error


@contextmanager
def _opened_mask(path: Path) -> Iterator[Image.Image]:
    """Open an index mask, and refuse one that stores colours."""
    with _opened(path) as image:
        if image.mode not in INDEX_MODES:
            msg = (
                f"The mask {path} is stored in mode {image.mode}, expected class indices: a palette (P), 8 bit (L) or "
                "16 bit (I;16) PNG. Use the masks as published; a colour rendering of them cannot be scored."
            )
            raise DataError(msg)
        yield image
