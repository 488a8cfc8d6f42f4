"""What ``sclip predict`` records of an image, and an index of these records that grows by a few bytes an image."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sclip_lightning.errors import RunError
from sclip_lightning.records.files import record_files
from sclip_lightning.records.lines import pack, unpack

__all__ = ["PredictedImage", "PredictedImages"]

#: Number of the lines' format.
FORMAT = 1


@dataclass(frozen=True)
class PredictedImage:
    """An image that has its label map and overlay, or none because it was skipped.

    Attributes:
        path: Its file.
        id: What its results are called.
        size: (H, W) in pixels; (0, 0) of a skipped one.
        pixels: Number of its pixels that each class takes.
        stamp: What its file was, in the words of ``data/``.
        skipped: Why it has no results; None if it has.
    """

    path: str
    id: str
    size: tuple[int, int] = (0, 0)
    pixels: tuple[int, ...] = ()
    stamp: str = ""
    skipped: str | None = None

    @property
    def shares(self) -> list[float]:
        """Fraction of the pixels that each class takes."""
        total = self.size[0] * self.size[1]
        return [count / total for count in self.pixels]

    def to_line(self) -> bytes:
        """The record as a line of text."""
        return pack({"format": FORMAT, **vars(self)})

    @classmethod
    def from_line(cls, line: bytes) -> "PredictedImage | None":
        """The record that a line stores; None if the line is torn or damaged.

        Raises:
            ValueError: The line is whole, but of another format.
        """
        content = unpack(line, FORMAT)
        if content is None:
            return None
        del content["format"]
        height, width = content.pop("size")
        return cls(size=(height, width), pixels=tuple(content.pop("pixels")), **content)


class PredictedImages:
    """The records of all sessions and processes; of an image that of the last session counts.

    Only where a record lies is kept in memory, and what says whether its image is done.

    Args:
        folder: The folder of the predictions.

    Attributes:
        done: Name of the results, and stamp, of every image that has results, by its path.
        skipped: Why others have none, likewise.

    Raises:
        RunError: A file cannot be read, or is none that this version wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.done: dict[str, tuple[str, str]] = {}
        self.skipped: dict[str, str] = {}
        self._places: dict[str, tuple[Path, int]] = {}
        for _, path in record_files(folder):
            for place, record in _read(path):
                if record.skipped is None:
                    self.done[record.path] = record.id, record.stamp
                    self._places[record.path] = path, place
                    self.skipped.pop(record.path, None)
                else:  # done before, it would not have been tried again unless its file or its results had changed
                    self.skipped[record.path] = record.skipped
                    self.done.pop(record.path, None)
                    self._places.pop(record.path, None)

    def of(self, paths: Iterable[str]) -> Iterator[PredictedImage]:
        """The records of those among some images that have results, one after the other, in the order given."""
        for image in paths:
            if image in self._places:
                path, place = self._places[image]
                with path.open("rb") as file:
                    file.seek(place)
                    record = PredictedImage.from_line(file.readline())
                if record is None:
                    raise RunError(f"{path} was changed while it was read. Give the same command again.")
                yield record


def _read(path: Path) -> Iterator[tuple[int, PredictedImage]]:
    """Every whole record of a file, after the place where it begins."""
    try:
        with path.open("rb") as file:
            place = 0
            for line in file:
                record = PredictedImage.from_line(line)
                if record is not None:
                    yield place, record
                place += len(line)
    except (OSError, ValueError, TypeError, KeyError) as error:
        msg = (
            f"The records in {path} cannot be read ({error}). Make the file readable, predict into another "
            "--output_dir, or start afresh with --overwrite."
        )
        raise RunError(msg) from error
