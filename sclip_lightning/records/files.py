"""Files of records: every process of every session of a run appends to one of its own."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sclip_lightning.errors import RunError
from sclip_lightning.files import store_folder
from sclip_lightning.records.artefacts import RECORDS
from sclip_lightning.records.record import ImageRecord

__all__ = ["Record", "RecordWriter", "Records", "load_records", "record_files"]


class Record(Protocol):
    """What a line of a file of records holds."""

    @property
    def id(self) -> str:
        """What the image is called in messages."""

    def to_line(self) -> bytes:
        """The line."""


class RecordWriter:
    """Appends records to a file, each handed to the operating system before ``add`` returns.

    A process that is killed then loses nothing but the images in hand; a machine that loses power may lose what the
    operating system had not stored yet, whose torn lines the reader drops. All is stored once ``close`` has returned.

    Args:
        folder: The run's folder.
        session: Number of the session, from 0.
        rank: Number of the process within the session.
    """

    def __init__(self, folder: Path, session: int, rank: int) -> None:
        self.path = folder / RECORDS / f"{_prefix(session)}rank{rank}-{os.getpid()}.jsonl"
        self._file: int | None = None

    def add(self, record: Record) -> None:
        """Append one record.

        Raises:
            RunError: It cannot be written; the file then ends with the record before.
        """
        line = record.to_line()
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                store_folder(self.path.parent)
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            msg = (
                f"The record of image {record.id} cannot be written to {self.path} ({error.strerror}). All images "
                "finished before are recorded: make room, or make the folder writable, and give the same command again "
                "to go on from there."
            )
            raise RunError(msg) from error

    def close(self) -> None:
        """Store and close the file; more records may follow nevertheless.

        Raises:
            RunError: It cannot be stored.
        """
        if self._file is None:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            msg = (
                f"The records in {self.path} cannot be stored ({error.strerror}). Make room, and give the same command "
                "again: it goes on from what is there."
            )
            raise RunError(msg) from error
        finally:
            os.close(self._file)
            self._file = None


@dataclass(frozen=True)
class Records:
    """The records of a run, one per image, in the order of their ids or, after ``of``, in the order asked for.

    Attributes:
        images: Scored images.
        skipped: Images that could not be scored.
        damaged: Number of lines that were torn or damaged, and dropped.
        conflicting: Ids of images that were scored twice with different counts; those of the later session are taken.
    """

    images: list[ImageRecord]
    skipped: list[ImageRecord]
    damaged: int = 0
    conflicting: tuple[str, ...] = ()

    def of(self, ids: Iterable[str]) -> "Records":
        """The records of some images only, in the order given: a run's list of ids is where positions come from."""
        places = {id_: place for place, id_ in enumerate(ids)}

        def chosen(records: list[ImageRecord]) -> list[ImageRecord]:
            found = [record for record in records if record.id in places]
            return sorted(found, key=lambda record: places[record.id])

        return Records(
            chosen(self.images),
            chosen(self.skipped),
            self.damaged,
            tuple(id_ for id_ in self.conflicting if id_ in places),
        )


def load_records(folder: Path, session: int | None = None) -> Records:
    """Read the records of a run.

    Torn and damaged lines are dropped: the image then merely has no record. Of several records of an image a scored one
    counts before a skipped one, and then that of the later session, whatever the clock said: clocks are set back.

    Args:
        folder: The run's folder; without records, there are none.
        session: Read only those of this session.

    Raises:
        RunError: A file cannot be read, or is none that this version wrote.
    """
    latest: dict[str, ImageRecord] = {}
    conflicting: set[str] = set()
    damaged = 0
    for number, path in record_files(folder):
        if session is not None and number != session:
            continue
        for record in _read(path):
            if record is None:
                damaged += 1
                continue
            other = latest.setdefault(record.id, record)
            if other is record:
                continue
            if record.skipped is None and other.skipped is None and not record.counts.agrees_with(other.counts):
                conflicting.add(record.id)
            if record.skipped is None or other.skipped is not None:  # files come in the order of their sessions
                latest[record.id] = record
    ordered = sorted(latest.values(), key=lambda record: record.id)
    return Records(
        [record for record in ordered if record.skipped is None],
        [record for record in ordered if record.skipped is not None],
        damaged,
        tuple(sorted(conflicting)),
    )


def record_files(folder: Path) -> list[tuple[int, Path]]:
    """Number of the session and path of every file of records, in this order."""
    return sorted((_session_of(path), path) for path in (folder / RECORDS).glob("*.jsonl"))


def _prefix(session: int) -> str:
    return f"{session:04d}-"


def _session_of(path: Path) -> int:
    number = path.name.partition("-")[0]
    if not (number.isascii() and number.isdigit()):
        msg = (
            f"{path} is no file of records: their names begin with the number of the session, as {_prefix(0)}rank0-1234"
            ".jsonl does. Move it out of the run's folder."
        )
        raise RunError(msg)
    return int(number)


def _read(path: Path) -> Iterator[ImageRecord | None]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield ImageRecord.from_line(line)
                except ValueError as error:
                    msg = (
                        f"Line {number} of {path} {error}. Read the run with the version that wrote it, or evaluate "
                        "again: under another --name, or afresh with --overwrite."
                    )
                    raise RunError(msg) from error
    except OSError as error:
        msg = f"The records in {path} cannot be read ({error.strerror}). Make the file readable and try again."
        raise RunError(msg) from error
