"""The record of one evaluation: what was measured, under which protocol; as JSON, CSV and a table to read.

Imports neither torch nor Lightning, so that reading results is instant.
"""

import csv
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Results"]

#: Widest a line of the protocol may get before it is wrapped, in characters.
LINE_WIDTH = 100


@dataclass
class Results:
    """Everything an evaluation reports. Scores are fractions in [0, 1]; None where a score does not exist.

    Attributes:
        benchmark: Name of the benchmark.
        metrics: Headline scores over the data set.
        classes: One row per class: index, name and its scores.
        protocol: What the scores depend on, one entry per choice.
        performance: Speed and memory of this run; the scores do not depend on it.
        environment: Versions and devices.
        notes: What a reader must know before quoting a score.
    """

    benchmark: str
    metrics: dict[str, float | None]
    classes: list[dict[str, Any]]
    protocol: dict[str, Any]
    performance: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write ``results.json`` and ``per_class.csv`` into ``folder``."""
        text = json.dumps(without_nan(asdict(self)), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        with (folder / "per_class.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.classes[0]))
            writer.writeheader()
            writer.writerows(without_nan(self.classes))

    def table(self) -> str:
        """The headline scores and the protocol as plain text."""
        sections = [
            ("", {name: percent(value) for name, value in self.metrics.items()}),
            ("Protocol", self.protocol),
            ("This run", self.performance),
        ]
        width = max(len(name) for _, entries in sections for name in entries)
        lines = [f"{self.benchmark}"]
        for title, entries in sections:
            lines += [f"\n{title}"] if title else []
            lines += [f"  {name:<{width}}  {_text(value)}" for name, value in entries.items()]
        lines += [f"\nNote: {note}" for note in self.notes]
        return "\n".join(lines)

    def markdown(self) -> str:
        """The scores of every class as a Markdown table."""
        columns = list(self.classes[0])
        rows = [[_cell(row[column]) for column in columns] for row in self.classes]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in [columns, ["---"] * len(columns), *rows])


def percent(value: float | None) -> str:
    """A fraction in percent with two decimals, as papers print it; a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f} %"


def without_nan(value: Any) -> Any:
    """The same structure with None for every NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _cell(value: Any) -> str:
    return percent(value) if value is None or isinstance(value, float) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
