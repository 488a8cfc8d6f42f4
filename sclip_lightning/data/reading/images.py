"""The user's own images: finding files, and reading whatever holds an image into RGB.

Other than a benchmark's, these images are turned as their EXIF orientation says, as every viewer shows them.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps
from torch import Tensor, uint8

from sclip_lightning.data.reading.heif import HEIF_SUFFIXES, INSTALL_HEIF, is_heif, reads_heif
from sclip_lightning.data.reading.layout import HEADER_THREADS, check_name, expand
from sclip_lightning.data.reading.pixels import decode_rgb, decoding, opened
from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.errors import DataError

__all__ = [
    "SUFFIXES",
    "ImageFile",
    "ImageInput",
    "RegionsInput",
    "check_images",
    "find_images",
    "stamp_of",
    "to_rgb",
    "turned_size",
    "unread_images",
]

#: What an image can be given as; see :func:`to_rgb`.
ImageInput = str | Path | Image.Image | npt.NDArray[np.uint8] | Tensor

#: What a segment map can be given as; see :func:`~sclip_lightning.data.reading.segments.to_segments`.
RegionsInput = str | Path | npt.NDArray[Any] | Tensor

#: Files with these suffixes, in any case, are taken from folders, and HEIC where it can be read; a file named by itself
#: may have any.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

#: What can be done about a file that cannot be read.
ADVICE = "Convert it to JPEG or PNG, or leave it out."

#: Files whose presence marks a folder that ``sclip predict`` wrote.
_MARKS = ("shares.csv", "labels")


class ImageFile(NamedTuple):
    """An image to segment.

    Attributes:
        path: Where it lies.
        name: What its results are called, without suffix: its path below the folder that was given. No two images share
            a name, whatever the case of letters.
    """

    path: Path
    name: str

    @property
    def map_names(self) -> tuple[str, str]:
        """What its segment map may be called, see :class:`SegmentMaps`: as its results, or as its file."""
        return self.name, self.path.stem


def find_images(paths: Sequence[str | Path], recursive: bool = False) -> list[ImageFile]:
    """List images, each once, in the order given; those of a folder by name.

    Args:
        paths: Files and folders. Hidden files, and folders that ``sclip predict`` wrote, are passed over.
        recursive: Look into subfolders, too.

    Raises:
        DataError: A path does not exist, or there are no images.
    """
    suffixes = SUFFIXES + HEIF_SUFFIXES if reads_heif() else SUFFIXES
    found: dict[Path, str] = {}
    for path in (expand(path) for path in paths):
        if path.is_dir():
            for file in _walk(path, recursive, suffixes):
                found.setdefault(file.absolute(), file.relative_to(path).with_suffix("").as_posix())
        elif path.is_file():
            found.setdefault(path.absolute(), path.stem)
        else:
            msg = f"There is no image or folder {path} (--images), seen from {Path.cwd()}. Give paths that exist."
            raise DataError(msg)
    if not found:
        deeper = "" if recursive else " Subfolders were left out; --recursive takes them in."
        msg = f"There are no images in {', '.join(map(str, paths)) or '(nothing)'} (--images): expected files that end "
        msg += f"in {', '.join(suffixes)}.{deeper}"
        if others := unread_images(paths, recursive):
            msg += f" {len(others)} HEIC file{'s lie' if others[1:] else ' lies'} there. {INSTALL_HEIF}"
        raise DataError(msg)
    for path in found:
        check_name(path)
    return [ImageFile(path, name) for path, name in zip(found, _distinct(list(found.values())), strict=True)]


def unread_images(paths: Sequence[str | Path], recursive: bool = False) -> list[Path]:
    """HEIC files in the folders among some paths that ``find_images`` has to pass over; arguments as there."""
    if reads_heif():
        return []
    folders = [folder for folder in map(expand, paths) if folder.is_dir()]
    return [file for folder in folders for file in _walk(folder, recursive, HEIF_SUFFIXES)]


def check_images(files: Sequence[ImageFile], maps: SegmentMaps | None = None) -> None:
    """Read the headers of all files, so that one that holds no image is found before the first is segmented.

    Args:
        files: The images.
        maps: Segment maps that are to be read beside them.

    Raises:
        DataError: For the first such file, or the first without a segment map of its size, with the number of others.
    """
    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        problems = [problem for problem in pool.map(partial(_header_problem, maps=maps), files) if problem]
    if problems:
        more = len(problems) - 1
        others = f" {more} more {'file has' if more == 1 else 'files have'} problems of this kind." if more else ""
        raise DataError(f"{problems[0]}{others}")


def stamp_of(path: Path) -> str:
    """Size and time of the last change of a file, by which a changed image is told; empty where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116  one call for both
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def turned_size(path: Path) -> tuple[int, int]:
    """(H, W) that an image file has once it is turned as its EXIF orientation says; DataError where it holds none."""
    with opened(path, advice=_advice(path)) as image:
        height, width = image.height, image.width
        return (width, height) if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5 else (height, width)


def to_rgb(image: ImageInput | object) -> npt.NDArray[np.uint8]:
    """Turn an image into [H, W, 3] uint8 RGB.

    Args:
        image: One of

            - the path of an image file (``$VAR`` and ``~`` are filled in where it is a text and no such file exists),
              or a PIL image of any mode but floating point: turned as its EXIF orientation says, then as
              :func:`decode_rgb` has it;
            - a numpy array [H, W, 3] uint8, RGB;
            - a tensor [3, H, W] uint8, RGB, on any device.

    Raises:
        DataError: The file is missing, unreadable or no image, or the image is none of the above.
    """
    if isinstance(image, str | Path):
        path = expand(image) if isinstance(image, str) else image
        with decoding(str(path), _advice(path)):
            if not path.exists():
                msg = f"There is no image {path}, seen from {Path.cwd()}. Give the path of an image file."
                raise DataError(msg)
            with Image.open(path) as file:
                ImageOps.exif_transpose(file, in_place=True)
                return decode_rgb(file, str(path))
    if isinstance(image, Image.Image):
        with decoding("The PIL image", "Decode it yourself, and give an array."):
            return decode_rgb(ImageOps.exif_transpose(image), "The PIL image")
    if isinstance(image, Tensor):
        if image.dtype != uint8 or image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
            msg = (
                f"The tensor is {tuple(image.shape)} {image.dtype}, expected [3, H, W] torch.uint8 in RGB order and "
                f"0..255.{_hint(str(image.dtype), tuple(image.shape), channels=0)}"
            )
            raise DataError(msg)
        return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            msg = (
                f"The array is {image.shape} {image.dtype}, expected [H, W, 3] uint8 in RGB order and 0..255."
                f"{_hint(str(image.dtype), image.shape, channels=2)}"
            )
            raise DataError(msg)
        return np.array(image)  # a copy: the caller may go on to write into its own
    msg = (
        f"An image cannot be of type {type(image).__name__}: give a path, a PIL image, a numpy array [H, W, 3] uint8 "
        "or a tensor [3, H, W] uint8."
    )
    raise DataError(msg)


def _advice(path: Path) -> str:
    """What can be done if the file cannot be read; from here on it can where pillow-heif is all it takes."""
    return ADVICE if reads_heif() or not is_heif(path) else INSTALL_HEIF


def _walk(folder: Path, recursive: bool, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        place = Path(where)
        if all((place / mark).exists() for mark in _MARKS):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(suffixes):
                yield place / name


def _distinct(names: Sequence[str]) -> list[str]:
    """Append -2, -3, ... to names that came before; case does not tell files apart on every system."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{name}-{number}"
        taken.add(candidate.casefold())
        result.append(candidate)
    return result


def _header_problem(file: ImageFile, maps: SegmentMaps | None) -> str | None:
    try:
        with opened(file.path, advice=_advice(file.path)):
            pass
        if maps is not None:
            maps.check(file.map_names, turned_size(file.path))
    except DataError as error:
        return str(error)
    return None


def _hint(dtype: str, shape: tuple[int, ...], channels: int) -> str:
    """What is probably the matter with an array."""
    if "float" in dtype:
        return " Scale it to 0..255, round it and convert it to uint8."
    if len(shape) == 4:
        return " Give one image at a time, or a list of them."
    if len(shape) == 3 and shape[channels] != 3 and shape[2 - channels] == 3:
        return " Move the channels to the other end."
    if len(shape) == 2:
        return " Repeat a grey image three times."
    return ""
