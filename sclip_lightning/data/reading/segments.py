"""Reading one segment map: npz or PNG, of any integer type, into int64."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from sclip_lightning.data.reading.masks import INDEX_MODES, mask_size, read_mask
from sclip_lightning.data.reading.npz import opened_npz
from sclip_lightning.data.reading.pixels import MOST_PIXELS, opened
from sclip_lightning.errors import DataError

__all__ = ["ARRAY", "SUFFIXES", "check_segments_size", "read_segments", "segments_size", "to_segments"]

#: Name of the array in published npz files.
ARRAY = "instance_mask"
#: Of the files that hold a map.
SUFFIXES = (".npz", ".png")

#: From here on floating-point numbers are not all whole numbers there are.
_EXACT = 2.0**53
_LARGEST = np.iinfo(np.int64).max


def read_segments(path: Path, panoptic: bool = False) -> npt.NDArray[np.int64]:
    """Read a map, [H, W] int64.

    Args:
        path: An npz file with an array ``instance_mask`` [H, W] of whole numbers, or a PNG file of 2 to 16 bit, grey
            or palette, whose indices are the numbers.
        panoptic: PNG files hold colours of 8 bit instead, which mean R + 256 G + 65536 B.

    Raises:
        DataError: The file is missing or damaged, or holds no such map.
    """
    if path.suffix == ".npz":
        with opened_npz(path, ARRAY) as array:
            _check_promise(array.shape, str(path))
            return _as_int64(array.read(), str(path))
    if panoptic:
        with _opened_colours(path) as image:
            red, green, blue = np.moveaxis(np.asarray(image).astype(np.int64), 2, 0)
            return red + 256 * green + 65536 * blue
    _refuse_colours(path)
    return read_mask(path).astype(np.int64)


def segments_size(path: Path, panoptic: bool = False) -> tuple[int, int]:
    """(H, W) of a map from its header, without unpacking it; arguments and errors as for :func:`read_segments`."""
    if path.suffix == ".npz":
        with opened_npz(path, ARRAY) as array:
            _check_promise(array.shape, str(path))
            return array.shape[0], array.shape[1]
    if panoptic:
        with _opened_colours(path) as image:
            return image.height, image.width
    _refuse_colours(path)
    return mask_size(path)


def check_segments_size(source: str, found: tuple[int, ...], size: tuple[int, int], remedy: str) -> None:
    """Raise DataError unless a map has the (H, W) of its image.

    Args:
        source: What to call the map.
        found: Its (H, W).
        size: The image's.
        remedy: How to have nearest pixels taken, in words.
    """
    if found != size:
        msg = (
            f"{source} has {found[0]} x {found[1]} pixels (height x width), its image {size[0]} x {size[1]}. Make maps "
            f"of images at their own size, or {remedy}; other resizing would mix numbers."
        )
        raise DataError(msg)


def to_segments(regions: object, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Turn a segment map into [H, W] int64.

    Args:
        regions: The path of an npz or PNG file, as :func:`read_segments` reads it, or a numpy array or tensor [H, W] of
            whole numbers, on any device.
        size: (H, W) of its image, turned as ``images.to_rgb`` turns it.

    Raises:
        DataError: The file is missing or unreadable, the map does not hold whole numbers or is of another size.
    """
    from torch import Tensor  # takes a second, which whoever only reads files need not wait

    source, remedy = "The segment map", "take nearest pixels yourself"
    if isinstance(regions, str | Path):
        path = Path(regions)
        check_segments_size(f"{source} {path}", segments_size(path), size, remedy)
        return read_segments(path)
    if isinstance(regions, Tensor):
        regions = (regions.double() if regions.is_floating_point() else regions).cpu().numpy()
    if not isinstance(regions, np.ndarray):
        msg = (
            f"A segment map cannot be of type {type(regions).__name__}: give a path, or a numpy array or tensor [H, W] "
            "of whole numbers."
        )
        raise DataError(msg)
    values = _as_int64(regions, source)
    check_segments_size(source, values.shape, size, remedy)
    return values


def _as_int64(values: npt.NDArray[Any], source: str) -> npt.NDArray[np.int64]:
    """A copy of an array's values as int64.

    Args:
        values: [H, W], integers or booleans of any width, or floating-point numbers that are all whole.
        source: What to call the map in an error message.

    Raises:
        DataError: It is none of these, or holds numbers beyond int64.
    """
    _check_shape(values.shape, source)
    kind = values.dtype.kind
    if kind not in "biuf":
        raise DataError(f"{source} is no segment map: it is of type {values.dtype}. {_EXPECTED}")
    if kind == "f":
        numbers = values.astype(np.float64)  # float16 has no such number to compare with
        wrong = ~(np.abs(numbers) < _EXACT) | (numbers != np.rint(numbers))
    else:
        wrong = values > _LARGEST if values.dtype == np.uint64 else np.zeros(0, bool)
    if wrong.any():
        msg = f"{source} is no segment map: {wrong.sum()} of its values are no whole numbers of int64, such as "
        raise DataError(f"{msg}{values[wrong][0]}. {_EXPECTED}")
    return values.astype(np.int64, order="C")


_EXPECTED = "Expected [H, W] whole numbers, one per pixel of the image: save it as such."


def _check_shape(shape: tuple[int, ...], source: str) -> None:
    if len(shape) != 2 or 0 in shape:
        raise DataError(f"{source} is no segment map: its array has the shape {list(shape)}. {_EXPECTED}")


def _check_promise(shape: tuple[int, ...], source: str) -> None:
    """Hold the shape that a file names against what may be, before memory is taken for it."""
    _check_shape(shape, source)
    most = MOST_PIXELS if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS
    if shape[0] * shape[1] > most:
        msg = f"{source} says that it has {shape[0]} x {shape[1]} pixels, more than the {most} that an image may have."
        raise DataError(f"{msg} Make the map again.")


@contextmanager
def _opened_colours(path: Path) -> Iterator[Image.Image]:
    with opened(path) as image:
        if image.mode != "RGB" or image.format != "PNG" or _bits(image) != 8:
            msg = (
                f"The segment map {path} is a {image.format} file in mode {image.mode}, but colours that mean numbers "
                "were announced (panoptic_regions): PNG files in RGB of 8 bit. Leave that out for files of indices."
            )
            raise DataError(msg)
        yield image


def _bits(image: Image.Image) -> int:
    """Bits of each channel as stored: Pillow drops half of 16 without a word."""
    raw = str(image.tile[0][3]) if isinstance(image, ImageFile.ImageFile) and image.tile else ""
    return 16 if ";16" in raw else 8


def _refuse_colours(path: Path) -> None:
    with opened(path) as image:
        if image.mode not in INDEX_MODES:
            msg = (
                f"The segment map {path} is stored in mode {image.mode}, expected a number per pixel: a palette (P), 8 "
                "bit (L) or 16 bit (I;16) PNG. Where colours mean R + 256 G + 65536 B, as in COCO's panoptic maps, say "
                "so with panoptic_regions."
            )
            raise DataError(msg)
