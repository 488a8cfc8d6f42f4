"""What a command does with each of many images, and what it writes about all of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch

from sclip_lightning.data.reading.images import ImageFile
from sclip_lightning.errors import DataError
from sclip_lightning.jobs.manifest import UNFINISHED, Kind, Manifest
from sclip_lightning.records.files import Record
from sclip_lightning.records.run import Session
from sclip_lightning.records.whole import is_whole

__all__ = ["ImageJob", "OnError"]

OnError = Literal["stop", "skip"]

W = TypeVar("W")
R = TypeVar("R")
M = TypeVar("M")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ImageJob(ABC, Generic[W, R, M, T]):
    """What is asked for; ``W`` makes the results, and ``T`` is what is said of them in the end.

    An image is read (``R``), its results are made (``M``), and then they are written. These may be three threads, each
    of which takes one image after the other: what is read and what is made must not know of each other.

    What is written about all images together, the first process alone writes.

    Attributes:
        files: The images.
        folder: Where everything is written.
        on_error: What to do about an image of which nothing can be made.
    """

    kind: ClassVar[Kind]

    files: Sequence[ImageFile]
    folder: Path
    on_error: OnError = "stop"

    @abstractmethod
    def check_headers(self, files: Sequence[ImageFile]) -> None:
        """Raise DataError where the files of images cannot be what they should be."""

    @abstractmethod
    def made_with(self, worker: W) -> Mapping[str, Any]:
        """What results depend on besides images, one entry a choice."""

    @abstractmethod
    def environment(self, worker: W, device: torch.device) -> dict[str, str]:
        """Versions of what computes the results, and the device."""

    @abstractmethod
    def remaining(self) -> list[int]:
        """Indices of the images without results, or of which a file is another now.

        Raises:
            RunError: The folder holds results of other images, or under other names.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Write what lies in the folder from the beginning on, besides the manifest."""

    @abstractmethod
    def results_of(self, file: ImageFile) -> Sequence[Path]:
        """The files that an image gets."""

    @abstractmethod
    def weight(self, worker: W, pixels: int) -> int:
        """Most bytes that are kept of an image of so many pixels while it waits, as read or as made."""

    @abstractmethod
    def read(self, worker: W, file: ImageFile) -> R:
        """Read an image, and get it ready for the worker.

        Raises:
            DataError: It cannot be read.
        """

    @abstractmethod
    def make(self, worker: W, file: ImageFile, read: R) -> M:
        """Make an image's results; nothing is written yet.

        Raises:
            DataError: Nothing can be made of it.
        """

    @abstractmethod
    def write(self, file: ImageFile, made: M) -> Record:
        """Write an image's results; returns what is recorded of it."""

    @abstractmethod
    def skipped(self, file: ImageFile, problem: str) -> Record:
        """What is recorded of an image that gets no results."""

    @abstractmethod
    def done(self) -> int:
        """Number of images that have results, for any process to ask."""

    @abstractmethod
    def pause(self) -> int:
        """Write what is done so far; returns the number of images."""

    @abstractmethod
    def finish(self) -> T:
        """Write all that is about all images together; returns what there is to say of them.

        Raises:
            DataError: No image has results.
        """

    def made_with_before(self) -> Mapping[str, Any]:
        """What the results that the folder holds were made with, nothing where there are none; raises RunError."""
        earlier = Manifest.load(self.folder, self.kind)
        return {} if earlier is None else earlier.made_with

    def check(self) -> None:
        """Find images that hold none before anything is loaded, unless they are to be skipped; raises DataError."""
        if self.on_error == "stop":
            try:
                self.check_headers([self.files[index] for index in self.remaining()])
            except DataError as error:
                msg = f"{error} To skip such images: --on_error skip."
                raise DataError(msg) from error

    def begin(self, made_with: Mapping[str, Any], session: Session) -> tuple[int, list[int]]:
        """Say in the folder what it is going to hold, before the first image.

        Args:
            made_with: What results depend on.
            session: This start.

        Returns:
            The number of the session, and what :meth:`remaining` says.

        Raises:
            RunError: The folder holds results that cannot be gone on with.
        """
        earlier = Manifest.load(self.folder, self.kind)
        now = Manifest(self.kind, made_with, images=len(self.files), counts=dict.fromkeys(self.kind.counts, 0))
        if earlier is not None:
            now.check_continues(earlier, self.folder)
        remaining = self.remaining()
        sessions = earlier.sessions if earlier is not None else ()
        if remaining or earlier is None:
            done = len(self.files) - len(remaining)
            replace(now, done=done, sessions=[*sessions, session]).save(self.folder)
            self.prepare()
        return len(sessions), remaining

    def note(self, done: int, state: str = UNFINISHED, skipped: Sequence[str] = (), **counts: int) -> None:
        """Write into the manifest how far the work has come; nothing where there is none."""
        known = Manifest.load(self.folder, self.kind)
        if known is not None:
            now = replace(known, state=state, images=len(self.files), done=done, counts=counts, skipped=list(skipped))
            if now != known:
                now.save(self.folder)

    def has_results(self, file: ImageFile) -> bool:
        """Whether all files of an image are there and whole."""
        return all(path.is_file() and is_whole(path) for path in self.results_of(file))
