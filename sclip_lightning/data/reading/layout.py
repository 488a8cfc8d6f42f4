"""Finding a data set's folders, pairing its images with their masks, and checking the pairs before anything runs."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sclip_lightning.data.reading.masks import LabelMap, image_size, mask_size
from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.errors import DataError

__all__ = [
    "Listing",
    "SampleFiles",
    "check_files",
    "check_name",
    "check_same_size",
    "expand",
    "find_paths",
    "image_sizes",
    "list_files",
    "read_ids",
]

#: How many files an error message names.
SHOWN = 3

#: Threads that read file headers: they wait for the disk, or for a network drive, most of the time.
HEADER_THREADS = 16


class SampleFiles(NamedTuple):
    """The files of one sample.

    Attributes:
        id: File name of the image without suffix.
        image: Path of the image.
        mask: Path of its ground truth.
    """

    id: str
    image: Path
    mask: Path

    @property
    def map_names(self) -> tuple[str]:
        """What its segment map may be called, see :class:`SegmentMaps`: as the file of its image."""
        return (self.image.stem,)


class Listing(NamedTuple):
    """The files of a split as they lie on disk, before anybody asks whether each image has its mask.

    Attributes:
        ids: The samples of the split, in order.
        images: Path of every image found, by id.
        masks: Path of every mask found, by id.
        places: The list and the folders these come from.
        form: Which of the forms that the masks go by was found, in words.
        label_map: What the values stored in this form mean.
        listed: Whether a file lists the ids; else they are whatever the folders hold.
    """

    ids: Sequence[str]
    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    places: Sequence[Path]
    form: str
    label_map: LabelMap
    listed: bool = False

    def problems(self, shown: int = SHOWN) -> list[str]:
        """What keeps the files from being scored, at most ``shown`` samples named in each.

        The split is empty, it lists samples twice, or samples have no image or no mask.
        """
        where = ", ".join(map(str, self.places))
        if not self.ids:
            return [f"The split is empty: no samples in {where}. Unpack the data set again, or check --data.root."]
        problems = []
        twice = [sample_id for sample_id, count in Counter(self.ids).items() if count > 1]
        if twice:
            problems.append(
                f"{len(twice)} samples are listed more than once: {_first(twice, shown)}. Looked in {where}. Each "
                "sample counts once: take the repetitions out of the list."
            )
        for what, files in (("image", self.images), ("mask", self.masks)):
            missing = [sample_id for sample_id in self.ids if sample_id not in files]
            if missing:
                problems.append(
                    f"{len(missing)} of the {len(self.ids)} samples have no {what}: {_first(missing, shown)}. Looked "
                    f"in {where}. Every sample of the split needs an image and a mask: unpack the missing {what}s, or "
                    "take these samples out of the split."
                )
        return problems

    def samples(self) -> list[SampleFiles]:
        """Image and mask of each id that has both, in order."""
        paired = [sample_id for sample_id in self.ids if sample_id in self.images and sample_id in self.masks]
        return [SampleFiles(sample_id, self.images[sample_id], self.masks[sample_id]) for sample_id in paired]


def expand(path: str | Path, base: Path | None = None) -> Path:
    """The path that a user typed: as it stands where there is such a file, else with ``$VAR`` and ``~`` filled in.

    For what is typed only. What was found on disk, or read from a list, is a name and nothing else.

    Args:
        path: As given.
        base: The folder that a relative path starts from; the working directory by default.
    """
    base = base or Path()
    with suppress(OSError, ValueError):  # a name that no file can have, for one because it is too long
        if (base / path).exists():
            return base / path
    return base / Path(os.path.expandvars(path)).expanduser()


def find_paths(root: str, dataset: str, prefixes: Sequence[str], parts: Sequence[Sequence[str]]) -> list[Path]:
    """Find the folders and lists of a data set below a root.

    Args:
        root: Where to look, as the user gave it.
        dataset: Name of the data set, for the error message.
        prefixes: Folders below the root that may hold the data set, "" for the root itself. The first that has all
            parts is taken.
        parts: What the data set consists of: for each part the relative paths it goes by.

    Returns:
        One existing path per part.

    Raises:
        DataError: No prefix has all parts.
    """
    base = expand(root)
    for prefix in prefixes:
        found = [[base / prefix / name for name in names if (base / prefix / name).exists()] for names in parts]
        if all(found):
            return [paths[0] for paths in found]
    state = "which is no folder" if not base.is_dir() else "which does not hold it"
    places = ", ".join(str(base / prefix) for prefix in prefixes)
    wanted = "; ".join(" or ".join(names) for names in parts)
    msg = (
        f"{dataset} was looked for under --data.root {base}, {state}. Looked in {places}, one of which must have all "
        f"of these: {wanted}. Set --data.root (or SCLIP_DATA_ROOT) to one of these folders."
    )
    raise DataError(msg)


def list_files(folder: Path, suffix: str) -> dict[str, Path]:
    """Map file names without their suffix to paths, by a single listing of the folder."""
    with os.scandir(folder) as entries:
        # Copying from a Mac leaves a "._name" beside each file, which is none of the data set's.
        names = [entry.name for entry in entries if entry.name.endswith(suffix) and not entry.name.startswith(".")]
    return {name.removesuffix(suffix): check_name(folder / name) for name in names if name != suffix}


def check_name(path: Path) -> Path:
    """The path itself; raises DataError where its name is no text, and could be written into no result."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        msg = f"The name of the file {str(path)!a} is not valid UTF-8, so that no result could name it. Rename it."
        raise DataError(msg) from error
    return path


def read_ids(path: Path, words: bool = False) -> list[str]:
    """Read a list of samples, one per line.

    Args:
        path: A UTF-8 text file; empty lines do not count.
        words: Take the first word of each line, as in the lists of VOC, which may have more columns; else the line, but
            for space around it, since names may have spaces.

    Raises:
        DataError: It is no text, or not there.
    """
    try:
        # Not splitlines(), which also splits at characters that may be part of a name, such as U+2028.
        lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The list {path} cannot be read: {error}. It must be a UTF-8 text file with one sample per line."
        raise DataError(msg) from error
    return [line.split()[0] if words else line.strip() for line in lines if line.strip()]


def check_same_size(files: SampleFiles, image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    """Raise DataError unless image and mask have the same (H, W)."""
    if image != mask:
        msg = (
            f"The mask {files.mask} has {mask[0]} x {mask[1]} pixels (height x width), but its image {files.image} has "
            f"{image[0]} x {image[1]}. Both must have the same size; take image and mask from the same release."
        )
        raise DataError(msg)


def check_files(samples: Iterable[SampleFiles], maps: SegmentMaps | None = None) -> None:
    """Read the headers of all files, so that a bad one is found before the first image is segmented.

    Args:
        samples: What is to be read.
        maps: Segment maps that are to be read beside it.

    Raises:
        DataError: A file is unreadable, a mask stores colours, a mask or a segment map has another size than its image,
            or there is no segment map. The first such file is described, and how many more there are.
    """
    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        problems = [problem for problem in pool.map(partial(_header_problem, maps=maps), samples) if problem]
    if problems:
        more = len(problems) - 1
        others = f" {more} more {'sample has' if more == 1 else 'samples have'} problems of this kind." if more else ""
        raise DataError(problems[0] + others)


def image_sizes(samples: Iterable[SampleFiles]) -> set[tuple[int, int]]:
    """All (H, W) that images have, from their headers; those that cannot be read are passed over."""

    def size(files: SampleFiles) -> tuple[int, int] | None:
        try:
            return image_size(files.image)
        except DataError:
            return None

    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        return {found for found in pool.map(size, samples) if found is not None}


def _first(names: Sequence[str], shown: int) -> str:
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")


def _header_problem(files: SampleFiles, maps: SegmentMaps | None) -> str | None:
    try:
        size = image_size(files.image)
        check_same_size(files, size, mask_size(files.mask))
        if maps is not None:
            maps.check(files.map_names, size)
    except DataError as error:
        return str(error)
    return None
