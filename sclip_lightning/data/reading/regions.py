"""Segment maps: one class-agnostic whole number per pixel of an image, in a folder beside a benchmark or own images.

Layout and names are those in which the authors of CorrCLIP (ICCV 2025) publish theirs: a flat folder with one
``<stem of the image's file>.npz`` an image, in it one array ``instance_mask`` [H, W] at the size of the image's file.
PNG files of the same names are read, too.
"""

import hashlib
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclip_lightning.data.reading.pixels import read_bytes
from sclip_lightning.data.reading.segments import (
    SUFFIXES,
    check_segments_size,
    read_segments,
    segments_size,
)
from sclip_lightning.errors import ConfigError, DataError

__all__ = ["SegmentMaps", "unread_maps", "without_maps"]

#: Files, and folders, that a message names.
_NEAR, _FOLDERS = 2, 5
#: Threads that read files of which nothing but a checksum is wanted.
_THREADS = 16


@dataclass(frozen=True)
class SegmentMaps:
    """A folder of segment maps.

    An image goes by one or several names, the first of which there is a file for counts: a benchmark's by the stem of
    its file, one's own by its path below the folder that was given and by its stem.

    Args:
        folder: Where the files lie.
        panoptic: PNG files hold colours that mean numbers; see :func:`read_segments`.
        resize: Bring maps of another size to that of the image by taking the nearest pixel; else they are refused.
        option: What names the folder on the command line, for messages.
    """

    folder: Path
    panoptic: bool = False
    resize: bool = False
    option: str = "--data.regions"

    def check_folder(self) -> None:
        """Raise DataError where there is no such folder."""
        if not self.folder.is_dir():
            state = "is a file" if self.folder.is_file() else f"is not there, seen from {Path.cwd()}"
            msg = (
                f"{self.option} {self.folder} {state}, expected a folder with a segment map (npz or PNG) for each "
                "image. Give that folder; an archive has to be unpacked first."
            )
            raise DataError(msg)

    def check_names(self, images: Iterable[Sequence[str]]) -> None:
        """Raise DataError where two images would get the same file; ``images`` are the names that each goes by."""
        listed = list(images)
        stems = Counter(names[-1] for names in listed)
        taken: dict[Path, str] = {}
        for names in listed:
            path = self.path_of(names) if stems[names[-1]] > 1 else None
            if path is not None and path in taken:
                msg = (
                    f"The images {taken[path]} and {names[0]} would both get the segment map {path} ({self.option}). "
                    "Put maps into subfolders as the images are, or give the images names of their own."
                )
                raise DataError(msg)
            if path is not None:
                taken[path] = names[0]

    def path_of(self, names: Sequence[str]) -> Path | None:
        """The file of an image; None where there is none, or where npz and PNG are both there."""
        found = self._candidates(names)
        return found[0] if len(found) == 1 else None

    def find(self, names: Sequence[str]) -> Path:
        """The file of an image.

        Raises:
            DataError: There is none, or there are two; the message names what was looked for and what is near.
        """
        found = self._candidates(names)
        if not found:
            raise DataError(self._missing(names))
        if len(found) > 1:
            msg = (
                f"There are two segment maps of one image, {found[0]} and {found[1].name} ({self.option}). Remove the "
                "one that is not meant."
            )
            raise DataError(msg)
        return found[0]

    def check(self, names: Sequence[str], size: tuple[int, int]) -> None:
        """Find the map of an image and read its header, without unpacking it.

        Args:
            names: The image's.
            size: (H, W) of the image.

        Raises:
            DataError: As :meth:`read`, but for what only the values tell.
        """
        self._check_size(self.find(names), size)

    def read(self, names: Sequence[str], size: tuple[int, int] | None = None) -> npt.NDArray[np.int64]:
        """Read the map of an image.

        Args:
            names: The image's.
            size: (H, W) of the image; None where nobody knows, when the map has its own.

        Returns:
            [H, W] int64.

        Raises:
            DataError: There is none, it cannot be read or is no map of whole numbers, or it has another size than the
                image and is not to be resized.
        """
        path = self.find(names)
        if size is not None:
            self._check_size(path, size)
        values = read_segments(path, self.panoptic)
        return values if size is None else _nearest(values, size)

    def describe(self) -> dict[str, str]:
        """How maps are read, an entry for a protocol."""
        form = "segment maps of panoptic colours" if self.panoptic else "segment maps as stored"
        return {"regions": f"{form}, resized to the image" if self.resize else form}

    def checksum(self, images: Iterable[Sequence[str]]) -> str:
        """Hex digest of the files of some images, their bytes and names, wherever the folder lies.

        Args:
            images: The names that each goes by; images without a map count as such.

        Raises:
            DataError: A file cannot be read.
        """

        def digest(names: Sequence[str]) -> str:
            path = self.path_of(names)
            content = "" if path is None else hashlib.blake2b(read_bytes(path), digest_size=16).hexdigest()
            return f"{names[0]} {path.suffix if path else ''} {content}\n"

        with ThreadPoolExecutor(_THREADS) as pool:
            return hashlib.sha256("".join(sorted(pool.map(digest, images))).encode()).hexdigest()

    def _candidates(self, names: Sequence[str]) -> list[Path]:
        for name in names:
            found = [path for suffix in SUFFIXES if (path := self.folder / f"{name}{suffix}").is_file()]
            if found:
                return found
        return []

    def _check_size(self, path: Path, size: tuple[int, int]) -> None:
        found = segments_size(path, self.panoptic)
        if not self.resize:
            remedy = f"have nearest pixels taken with {self.option.replace('regions', 'resize_regions')}"
            check_segments_size(f"The segment map {path}", found, size, remedy)

    def _missing(self, names: Sequence[str]) -> str:
        counts = [sum(suffix == other for other, _ in self._files) for suffix in SUFFIXES]
        near = self._near(names[-1])
        inside = [] if self._files else sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        looked = " and ".join(f"{self.folder / name}{SUFFIXES[0]}" for name in dict.fromkeys(names))
        return (
            f"There is no segment map of {names[0]}: looked for {looked} (or {SUFFIXES[1]}); the folder holds "
            f"{counts[0]} {SUFFIXES[0]} and {counts[1]} {SUFFIXES[1]} files"
            f"{', the nearest of which is called ' if near else ''}{' or '.join(near)}"
            f"{', but folders: ' if inside else ''}{', '.join(inside[:_FOLDERS])}. Call each map as its image's "
            f"file, but for the suffix, or give another folder ({self.option})."
        )

    @cached_property
    def _files(self) -> list[tuple[str, str]]:
        """Suffix and stem of the folder's maps, sorted by stem, whatever the case of letters."""
        files = [path for path in self.folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith(".")]
        return sorted(((path.suffix, path.stem) for path in files), key=lambda file: file[1].casefold())

    def _near(self, name: str) -> list[str]:
        """Files whose names begin as one does: among those that it would stand between. All would take too long."""
        folded = name.casefold()
        place = bisect(self._files, folded, key=lambda file: file[1].casefold())
        around = self._files[max(place - _NEAR, 0) : place + _NEAR]
        around.sort(key=lambda file: -_shared(folded, file[1].casefold()))
        return [f"{stem}{suffix}" for suffix, stem in around[:_NEAR]]


def without_maps(readers: Sequence[str], option: str) -> ConfigError:
    """The error where parts read segment maps and there are none.

    Args:
        readers: Names of the parts.
        option: What gives the maps.
    """
    several = len(readers) > 1
    return ConfigError(
        f"{' and '.join(readers)} need{'' if several else 's'} a segment map with each image, and {option} is not "
        f"given. Give the maps, or leave {' and '.join(readers)} out."
    )


def unread_maps(option: str) -> str:
    """The note where segment maps are given and no part reads them."""
    return f"Segment maps are given ({option}), but no part reads them: they change nothing."


def _shared(one: str, other: str) -> int:
    """How many letters two names begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _nearest(values: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """[H, W] values of the pixels whose cells hold the centres of those of another size."""
    for axis, length in enumerate(size):
        if values.shape[axis] != length:
            values = values.take((np.arange(length) * 2 + 1) * values.shape[axis] // (2 * length), axis)
    return values
