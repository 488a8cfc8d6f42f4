"""What came of rows, for people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sclip_lightning.reports.published import Figure
from sclip_lightning.reports.tables import render
from sclip_lightning.reproducing.rows import Row

__all__ = ["Outcome", "conclusion", "in_short", "table_of", "targets"]


#: Most runs that are named one by one.
_NAMED = 5


@dataclass
class Outcome:
    """What came of a row.

    Attributes:
        row: The row.
        figures: Its figures, held against the run; none without a run.
        failure: Why there is no run; empty where there is one.
        parcel: The folder that can be sent.
    """

    row: Row
    figures: list[Figure] = field(default_factory=list)
    failure: str = ""
    parcel: Path | None = None

    @property
    def holds(self) -> bool:
        """Whether there is a run, and nothing in it speaks against the published figures."""
        return not self.failure and all(figure.verdict != "differs" for figure in self.figures)


def targets(row: Row) -> str:
    """The figures of a row in words."""
    return ", ".join(f"{figure.metric} {figure.published_text()} ({figure.title})" for figure in row.figures)


def in_short(rows: Sequence[Row]) -> str:
    """Several rows in a few words: the runs, and the benchmarks that they are on."""
    names, places = (list(dict.fromkeys(one)) for one in zip(*((row.name, row.benchmark) for row in rows), strict=True))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} on {', '.join(places)}"


def table_of(outcomes: Sequence[Outcome]) -> str:
    """Published and measured figures beside each other, a line each; scores in percent, differences in points."""
    lines: list[dict[str, str]] = []
    for outcome in outcomes:
        start = {"run": outcome.row.name, "benchmark": outcome.row.benchmark}
        for figure in outcome.figures:
            cells = {
                "figures": figure.title,
                "score": figure.metric,
                "published": figure.published_text(),
                "measured": figure.measured_text(),
                "difference": figure.difference_text(),
                "allowed": f"{figure.reach:.3g}",
                "verdict": str(figure.verdict),
            }
            lines.append(start | cells)
        lines += [start | {"verdict": outcome.failure}] if outcome.failure else []
    return render(lines, "table")


def conclusion(outcomes: Sequence[Outcome]) -> str:
    """The table of all rows, why some may differ, and where there is something to send."""
    lines = [table_of(outcomes), "", "Allowed: half a unit of the last published digit, and what reruns differ by."]
    reasons: dict[str, list[Row]] = {}
    for outcome in outcomes:
        spoken = [reason for one in outcome.figures if one.verdict != "reproduces" for reason in one.reasons]
        for reason in dict.fromkeys(spoken):
            reasons.setdefault(reason, []).append(outcome.row)
    if reasons:
        lines += ["", "What keeps these runs from the published figures, or may:"]
        lines += [f"  {in_short(rows)}: {reason}" for reason, rows in reasons.items()]
    parcels = [outcome.parcel for outcome in outcomes if outcome.parcel]
    if parcels:
        lines += ["", "To hand on, with a card to read in each:", *(f"  {parcel}" for parcel in parcels)]
        lines.append(f"All of them in one table: sclip board {parcels[0].parents[1]}")
    return "\n".join(lines)
