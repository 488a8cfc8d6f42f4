"""The record of one image, and the line of text that it is stored as."""

import json
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

__all__ = ["ImageCounts", "ImageRecord"]

#: Number of the lines' format; a line with another one, or none, is refused rather than read as what it is not.
FORMAT = 2

_PREFIX = b'{"crc32": "'
_MIDDLE = b'", "record": '
_START = len(_PREFIX) + 8 + len(_MIDDLE)  # 8 digits of the checksum between them


@dataclass(frozen=True)
class ImageCounts:
    """What one image adds to the sums that all scores follow from, in sparse form.

    Attributes:
        confusion: [3, K] int64: true class, predicted class and number of pixels of every pair that occurs, in
            rising order; ignored pixels are left out.
        boundaries: By name of the score, [5, M] int64: class, judged predicted contour pixels, ground-truth contour
            pixels, judged predicted hits, ground-truth hits, for every class with any of them; see
            ``metrics.boundary_counts``.
    """

    confusion: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 0), np.int64))
    boundaries: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ImageCounts)
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
        text = json.dumps(content, separators=(",", ":")).encode()
        return b"%b%08x%b%b}\n" % (_PREFIX, crc32(text), _MIDDLE, text)

    @classmethod
    def from_line(cls, line: bytes) -> "ImageRecord | None":
        """The record that a line stores; None if the line is torn or damaged.

        Raises:
            ValueError: The line is whole, but of another format.
        """
        text = line[_START:-2]
        start = b"%b%08x%b" % (_PREFIX, crc32(text), _MIDDLE)
        if not (line.startswith(start) and line.endswith(b"}\n")):
            return None
        content = json.loads(text)
        if content.get("format") != FORMAT:
            found = f"has format {content['format']}" if "format" in content else "has no format number"
            raise ValueError(f"{found}, but this version of sclip_lightning reads format {FORMAT}")
        return cls(
            id=content["id"],
            counts=ImageCounts(
                np.array(content.get("confusion", [[], [], []]), dtype=np.int64),
                {name: np.array(rows, dtype=np.int64) for name, rows in content.get("boundaries", {}).items()},
            ),
            seconds=content["seconds"],
            time=content["time"],
            skipped=content["reason"] if content["status"] == "skipped" else None,
            fingerprint=content.get("fingerprint", {}),
        )
