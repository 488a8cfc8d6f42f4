"""Segment maps of many images: what is asked for, and what of it is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from sclip_lightning.data.reading.images import ImageFile, check_images, stamp_of
from sclip_lightning.engine.environment import describe_environment
from sclip_lightning.errors import DataError, RunError
from sclip_lightning.files import replacing
from sclip_lightning.jobs.job import ImageJob
from sclip_lightning.jobs.manifest import COMPLETE, Kind
from sclip_lightning.records.artefacts import RECORDS
from sclip_lightning.regions.maker import LoadedMaker
from sclip_lightning.regions.records import MapRecord, recorded

__all__ = ["MASKS", "MapJob"]

N = TypeVar("N", bound=np.generic)

#: Says what maps were made with.
MASKS = "masks.json"


@dataclass(frozen=True, eq=False)
class Stamped(Generic[N]):
    """Pixels of an image, or its segment map, and what the image's file was when it was read."""

    array: npt.NDArray[N]
    stamp: str


@dataclass(frozen=True, kw_only=True)
class MapJob(ImageJob[LoadedMaker, Stamped[np.uint8], Stamped[np.int32], tuple[list[MapRecord], list[str]]]):
    """Segment maps that are asked for; in the end there are the records of those made, and why images have none.

    Maps lie in the folder as CorrCLIP's authors publish theirs, ``<stem>.npz``.

    Attributes:
        read_rgb: Reads an image as [H, W, 3] uint8 RGB.
        turned: Whether it is turned as its EXIF orientation says, which those of benchmarks are not.

    Raises:
        DataError: Two images have one stem; case does not tell files apart on every system.
    """

    kind = Kind(
        command="sclip make-regions",
        results="segment maps",
        work="making segment maps",
        bar="Making segment maps",
        written=(MASKS, "*.npz", RECORDS),
        settings=MASKS,
        counts=("empty",),
    )

    read_rgb: Callable[[Path], npt.NDArray[np.uint8]]
    turned: bool

    def __post_init__(self) -> None:
        taken: dict[str, Path] = {}
        for file in self.files:
            other = taken.setdefault(file.path.stem.casefold(), file.path)
            if other != file.path:
                raise DataError(_same_stem(other, file.path))

    def check_headers(self, files: Sequence[ImageFile]) -> None:
        """Raise DataError where a file holds no image."""
        check_images(files)

    def made_with(self, worker: LoadedMaker) -> dict[str, Any]:
        """What maps depend on."""
        return {
            "generator": worker.generator,
            "model": worker.model,
            "weights_sha256": worker.weights_sha256,
            "settings": dict(worker.settings),
            "images_are_turned": self.turned,
        }

    def environment(self, worker: LoadedMaker, device: torch.device) -> dict[str, str]:
        """Versions, those of the maker's libraries too, and the device."""
        return describe_environment(device) | dict(worker.libraries)

    def remaining(self) -> list[int]:
        """Indices of the images without a map, or whose file is another now.

        Raises:
            RunError: The folder holds the map of another image under a name that is needed.
        """
        records = recorded(self.folder)
        owners = {record.id.casefold(): path for path, record in records.items() if record.skipped is None}
        for file in self.files:
            owner = owners.get(file.path.stem.casefold(), str(file.path))
            if owner != str(file.path):
                msg = f"{_same_stem(Path(owner), file.path)} The first has a map in {self.folder} already."
                raise RunError(msg)
        return [index for index, file in enumerate(self.files) if not self._is_done(file, records)]

    def prepare(self) -> None:
        """Write nothing: maps lie in the folder itself."""

    def results_of(self, file: ImageFile) -> tuple[Path]:
        """Where an image's map lies."""
        return (self.folder / f"{file.path.stem}.npz",)

    def weight(self, worker: LoadedMaker, pixels: int) -> int:
        """A map of int32, which takes more than RGB."""
        del worker
        return 4 * pixels

    def read(self, worker: LoadedMaker, file: ImageFile) -> Stamped[np.uint8]:
        """Read an image."""
        del worker
        stamp = stamp_of(file.path)  # before: a file that changes meanwhile counts as changed
        return Stamped(self.read_rgb(file.path), stamp)

    def make(self, worker: LoadedMaker, file: ImageFile, read: Stamped[np.uint8]) -> Stamped[np.int32]:
        """Make an image's map."""
        del file
        return Stamped(worker.segment(read.array), read.stamp)

    def write(self, file: ImageFile, made: Stamped[np.int32]) -> MapRecord:
        """Write a map as published: compressed, one array ``instance_mask``, [H, W] int32."""
        segments, (path,) = made.array, self.results_of(file)
        with replacing(path) as temporary:  # whose name ends as that of the path, so that numpy adds no suffix
            np.savez_compressed(temporary, instance_mask=segments)
        number = int(np.count_nonzero(np.unique(segments)))
        covered = float(np.count_nonzero(segments) / segments.size)
        return MapRecord(str(file.path), file.path.stem, number, covered, made.stamp)

    def skipped(self, file: ImageFile, problem: str) -> MapRecord:
        """What is recorded of an image that gets no map."""
        return MapRecord(str(file.path), file.path.stem, skipped=problem)

    def done(self) -> int:
        """Number of images that have a map."""
        return sum(record.skipped is None for record in recorded(self.folder).values())

    def pause(self) -> int:
        """Write how far it has come; returns the number of images that have a map."""
        maps, _ = self._records()
        self.note(len(maps), empty=_empty(maps))
        return len(maps)

    def finish(self) -> tuple[list[MapRecord], list[str]]:
        """Write that all is done; returns the records of the maps, and why images have none."""
        maps, skipped = self._records()
        self.note(len(maps), COMPLETE, skipped, empty=_empty(maps))
        if not maps:
            raise DataError(f"None of the {len(self.files)} images has a segment map. The first: {skipped[0]}")
        return maps, skipped

    def _records(self) -> tuple[list[MapRecord], list[str]]:
        found = recorded(self.folder)
        records = [found[str(file.path)] for file in self.files if str(file.path) in found]
        skipped = [record.skipped for record in records if record.skipped is not None]
        return [record for record in records if record.skipped is None], skipped

    def _is_done(self, file: ImageFile, records: dict[str, MapRecord]) -> bool:
        known = records.get(str(file.path))
        unchanged = known is not None and known.skipped is None and known.stamp == stamp_of(file.path)
        return unchanged and self.has_results(file)


def _empty(maps: Sequence[MapRecord]) -> int:
    return sum(not record.segments for record in maps)


def _same_stem(one: Path, other: Path) -> str:
    return (
        f"{one} and {other} have one stem, but maps are called by it, <stem>.npz, in one flat folder. Give them "
        "different names, or make maps for them in two commands, each with an --output_dir of its own."
    )
