"""Work ahead of the network: the next image is read while one is being worked on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from sclip_lightning.data.reading.images import ImageFile

__all__ = ["Ahead"]

R = TypeVar("R")


class Ahead(Generic[R]):
    """Reads images, at most one of them before it is asked for.

    Args:
        read: Reads one.
    """

    def __init__(self, read: Callable[[ImageFile], R]) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, "ahead-of-the-network")  # begins with the first image
        self._next: Future[R] | None = None

    def begin(self, file: ImageFile) -> None:
        """Begin to read the image that :meth:`take` is going to ask for."""
        self._next = self._thread.submit(self._read, file)

    def take(self, file: ImageFile) -> R:
        """What was read of an image, or is read now; raises what reading it raises."""
        coming, self._next = self._next, None
        return self._read(file) if coming is None else coming.result()

    def end(self) -> None:
        """End the thread, once it has read what it is reading."""
        self._next = None
        self._thread.shutdown()
