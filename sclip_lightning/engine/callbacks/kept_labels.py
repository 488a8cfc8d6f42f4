"""Labels of images that may have to be drawn at the end of a run, kept while they are scored."""

import zlib
from bisect import bisect_left, insort
from collections.abc import Container
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sclip_lightning.files import replacing

__all__ = ["KEPT", "KeptLabels", "delete_handed", "handed_file", "read_handed"]

#: Images whose labels are kept besides the worst; packed, a few kilobytes each.
KEPT = 100
#: How the files are called by which processes hand labels to the first.
_HANDED = ".labels-{}.npz"


class _Packed(NamedTuple):
    """Labels of an image in a few kilobytes: [N] uint8, and what is needed to make [H, W] of them again."""

    height: int
    width: int
    kind: str
    content: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, labels: npt.NDArray[np.int64]) -> "_Packed":
        small = labels.astype("<u1" if labels.max(initial=0) < 256 else "<u2")
        height, width = small.shape
        return cls(height, width, small.dtype.str[1:], np.frombuffer(zlib.compress(small.tobytes(), 1), np.uint8))

    @property
    def name(self) -> str:
        return f"-{self.height}-{self.width}-{self.kind}"

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        small = np.frombuffer(zlib.decompress(self.content.tobytes()), f"<{self.kind}")
        return small.reshape(self.height, self.width).astype(np.int64)


class KeptLabels:
    """Labels of images that may turn out to be among the worst or the middling ones, packed, a bounded number of them.

    The worst so far are always kept, so none of the worst of all can be missing; of the others those go first that lie
    farthest from the middle of what has been scored.

    Args:
        worst: How many of the worst are wanted.
    """

    def __init__(self, worst: int) -> None:
        self._worst = worst
        self._order: list[tuple[float, int]] = []  # all scores so far with their images, sorted
        self._scores: dict[int, float] = {}  # of those that are kept
        self._packed: dict[int, _Packed] = {}

    def add(self, index: int, score: float, labels: npt.NDArray[np.int64]) -> None:
        """Take an image in.

        Args:
            index: Its place in the data set.
            score: Its mIoU; NaN, with which it is never drawn.
            labels: [H, W] class indices.
        """
        if score != score:
            return
        insort(self._order, (score, index))
        self._scores[index] = score
        self._packed[index] = _Packed.of(labels)
        if len(self._packed) > self._worst + KEPT:
            middle = len(self._order) / 2
            places = {i: bisect_left(self._order, (kept, i)) for i, kept in self._scores.items()}
            loose = [i for i, place in places.items() if place >= self._worst]
            farthest = max(loose, key=lambda i: (abs(places[i] - middle), i))
            del self._packed[farthest], self._scores[farthest]

    def save(self, path: Path) -> None:
        """Write the labels into a file, unless there are none."""
        if self._packed:
            with replacing(path) as temporary, temporary.open("wb") as file:
                contents: dict[str, Any] = {f"{i}{packed.name}": packed.content for i, packed in self._packed.items()}
                np.savez(file, **contents)

    def of(self, index: int) -> npt.NDArray[np.int64] | None:
        """[H, W] labels of an image; None where they were not kept."""
        return self._packed[index].labels if index in self._packed else None


def handed_file(folder: Path, rank: int) -> Path:
    """Where a process leaves its labels for the first one."""
    return folder / _HANDED.format(rank)


def read_handed(folder: Path, indices: Container[int]) -> dict[int, npt.NDArray[np.int64]]:
    """[H, W] labels of some images that other processes have left, by index."""
    found = {}
    for path in sorted(folder.glob(_HANDED.format("*"))):
        with np.load(path) as file:
            for name in file.files:
                index, height, width, kind = name.split("-")
                if int(index) in indices:
                    found[int(index)] = _Packed(int(height), int(width), kind, file[name]).labels
    return found


def delete_handed(folder: Path) -> None:
    """Delete what other processes have left."""
    for path in folder.glob(_HANDED.format("*")):
        path.unlink()
