"""Seams: how much more often labels change across the borders of windows than elsewhere. Imports nothing."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Seams", "sum_seams"]


class Seams(NamedTuple):
    """Pairs of neighbouring pixels with one class in the ground truth, of an image or of many.

    Attributes:
        pairs: Those across a border of windows.
        changes: Those of them whose predicted labels differ.
        pairs_elsewhere: All others.
        changes_elsewhere: Those of them whose predicted labels differ.
    """

    pairs: int
    changes: int
    pairs_elsewhere: int
    changes_elsewhere: int

    def shares(self) -> dict[str, float | None]:
        """``share``, ``share_elsewhere`` and their ``ratio``, which is 1 without seams; None for n / 0."""
        return {
            "share": _quotient(self.changes, self.pairs),
            "share_elsewhere": _quotient(self.changes_elsewhere, self.pairs_elsewhere),
            "ratio": _quotient(self.changes * self.pairs_elsewhere, self.pairs * self.changes_elsewhere),
        }


def sum_seams(images: Iterable[Seams | None]) -> Seams | None:
    """Add up images; None if one of them was not counted, or none has a pair across a border."""
    total = [0, 0, 0, 0]
    for image in images:
        if image is None:
            return None
        total = [one + other for one, other in zip(total, image, strict=True)]
    return Seams(*total) if total[0] else None


def _quotient(number: int, of: int) -> float | None:
    return number / of if of else None
