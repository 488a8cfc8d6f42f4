"""The record of one image, and the line of text that it is stored as."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sclip_lightning.records.lines import pack, unpack
from sclip_lightning.records.seams import Seams

__all__ = ["ImageCounts", "ImageRecord"]

#: Number of the lines' format; a line with another one, or none, is refused rather than read as what it is not.
FORMAT = 2


@dataclass(frozen=True)
class ImageCounts:
    """What one image adds to the sums that all scores follow from, in sparse form.

    Attributes:
        confusion: [3, K] int64: true class, predicted class and number of pixels of every pair that occurs, in
            rising order; ignored pixels are left out.
        boundaries: By name of the score, [5, M] int64: class, judged predicted contour pixels, ground-truth contour
            pixels, judged predicted hits, ground-truth hits, for every class with any of them; see
            ``metrics.boundary_counts``.
        seams: Pairs of pixels across borders of windows and elsewhere; None where they were not counted.
    """

    confusion: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 0), np.int64))
    boundaries: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    seams: Seams | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageCounts) and self.seams == other.seams and self.agrees_with(other)

    def agrees_with(self, other: "ImageCounts") -> bool:
        """Whether all is the same; seams that one of them lacks, as records of an earlier version do, say nothing."""
        return (
            (None in (self.seams, other.seams) or self.seams == other.seams)
            and np.array_equal(self.confusion, other.confusion)
            and self.boundaries.keys() == other.boundaries.keys()
            and all(np.array_equal(counts, other.boundaries[name]) for name, counts in self.boundaries.items())
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none


@dataclass(frozen=True)
class ImageRecord:
    """One image of a run.

    Its place in the data set is none of it: data sets grow, and the run's list of ids says where an image stands.

    Attributes:
        id: The data set's name for the image.
        counts: What it adds to the sums; nothing if it was skipped.
        seconds: Time its segmentation and scoring took.
        time: When it was finished, in seconds since 1970.
        skipped: Why it could not be scored; None if it was.
        fingerprint: What the image and its ground truth were, in the words of ``data/``; empty where nobody said.
    """

    id: str
    counts: ImageCounts = field(default_factory=ImageCounts)
    seconds: float = 0.0
    time: float = 0.0
    skipped: str | None = None
    fingerprint: dict[str, str] = field(default_factory=dict)

    def to_line(self) -> bytes:
        """The record as one line of JSON that starts with the CRC-32 of the rest."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "id": self.id,
            "status": "scored" if self.skipped is None else "skipped",
            "seconds": round(self.seconds, 6),
            "time": round(self.time, 3),
        }
        if self.skipped is not None:
            content["reason"] = self.skipped
        else:
            content["confusion"] = self.counts.confusion.tolist()
            content["boundaries"] = {name: counts.tolist() for name, counts in self.counts.boundaries.items()}
            content["fingerprint"] = self.fingerprint
            if self.counts.seams is not None:
                content["seams"] = self.counts.seams
        return pack(content)

    @classmethod
    def from_line(cls, line: bytes) -> "ImageRecord | None":
        """The record that a line stores; None if the line is torn or damaged.

        Raises:
            ValueError: The line is whole, but of another format.
        """
        content = unpack(line, FORMAT)
        if content is None:
            return None
        return cls(
            id=content["id"],
            counts=ImageCounts(
                np.array(content.get("confusion", [[], [], []]), dtype=np.int64),
                {name: np.array(rows, dtype=np.int64) for name, rows in content.get("boundaries", {}).items()},
                Seams(*content["seams"]) if "seams" in content else None,  # records of an earlier version have none
            ),
            seconds=content["seconds"],
            time=content["time"],
            skipped=content["reason"] if content["status"] == "skipped" else None,
            fingerprint=content.get("fingerprint", {}),
        )
