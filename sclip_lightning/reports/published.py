"""Published figures beside measured ones: whether a run reproduces them, and how far a rerun may be off.

A published figure is a rounded number, so that half a unit of its last digit is always allowed. To that comes
``NOISE``, how far two computations of one method on the same images differ that are both right. It is no interval over
images: a benchmark is the same images each time, and a rerun draws none. What moves is that hardware, libraries and
precision round otherwise, so that pixels between two classes change sides. docs/reproducing.md has the measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["NOISE", "Figure", "Verdict", "judged"]

Verdict = Literal["reproduces", "differs", "not comparable"]

#: Percentage points within which reruns stay, by how both sides computed: ``16 bit`` where at least one of them ran its
#: networks in half precision or nobody says how, ``32 bit`` where both ran in float32.
NOISE: Mapping[str, float] = {"16 bit": 0.1, "32 bit": 0.005}


@dataclass(frozen=True)
class Figure:
    """One published score, and once a run was held against it what that came to. Scores are in percent.

    Attributes:
        method: As its authors call it.
        title: What the list of figures is called that this one is from.
        source: Where it stands.
        metric: Name of the score.
        value: The score.
        decimals: How many digits are published behind the point.
        precision: ``32 bit`` where it was computed in float32, else ``16 bit``; a key of ``NOISE``.
        weights: Which networks it was computed with, in words.
        measured: The run's score; None where it has none, or before.
        verdict: Whether the run reproduces it; None before.
        reasons: Why the run may not, or could not, reproduce it.
    """

    method: str
    title: str
    source: str
    metric: str
    value: float
    decimals: int
    precision: str = "16 bit"
    weights: str = ""
    measured: float | None = None
    verdict: Verdict | None = None
    reasons: list[str] = field(default_factory=list)

    @property
    def difference(self) -> float | None:
        """Measured - published, in percentage points."""
        return None if self.measured is None else self.measured - self.value

    @property
    def reach(self) -> float:
        """How far a run may be off, in percentage points: half a unit of the last digit, and a rerun's noise."""
        return 0.5 * 10.0**-self.decimals + NOISE[self.precision]

    def published_text(self) -> str:
        """The score with the digits that were published."""
        return f"{self.value:.{self.decimals}f}"

    def measured_text(self) -> str:
        """The run's score with as many digits, and at least two; a dash without one."""
        return "-" if self.measured is None else f"{self.measured:.{max(self.decimals, 2)}f}"

    def difference_text(self) -> str:
        """The difference likewise, with its sign."""
        return "-" if self.difference is None else f"{self.difference:+.{max(self.decimals, 2)}f}"


def judged(
    figure: Figure, score: float | None, precision: str, changed: Sequence[str] = (), reasons: Sequence[str] = ()
) -> Figure:
    """A figure with what a run's score says of it.

    Args:
        figure: The published one.
        score: The run's, as a fraction; None where it has none.
        precision: What its networks ran in, as Lightning names it.
        changed: Why the run is another experiment than the published one; with any, there is no verdict on it.
        reasons: What else may keep it from reproducing the figure.
    """
    kind = "32 bit" if figure.precision == "32 bit" and precision.startswith(("32", "64")) else "16 bit"
    measured = None if score is None else 100 * score
    found = replace(figure, precision=kind, measured=measured, reasons=[*changed, *reasons])
    if changed or found.difference is None:
        return replace(found, verdict="not comparable")
    # Sums of binary fractions: 59.735 - 59.63 is not 0.105.
    return replace(found, verdict="reproduces" if abs(found.difference) <= found.reach + 1e-9 else "differs")
