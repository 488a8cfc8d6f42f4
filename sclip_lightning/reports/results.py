"""The record of one evaluation: what was measured, under which protocol; as JSON, CSV and a table to read.

``docs/results.schema.json`` describes the JSON file, for whoever reads it without this package.

Imports neither torch nor Lightning, so that reading results is instant.
"""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sclip_lightning.errors import RunError, counted
from sclip_lightning.files import replacing, write_text
from sclip_lightning.records import Records, fold, sum_seams
from sclip_lightning.records.artefacts import PER_CLASS, RESULTS
from sclip_lightning.records.run import Run
from sclip_lightning.reports.cells import csv_cells, markdown_cell, printable
from sclip_lightning.reports.comparison import score_intervals, tabulate
from sclip_lightning.reports.published import Figure

__all__ = ["FORMAT", "VERSION", "Results", "intervals_of", "results_of"]

#: Name of the file's format, and the number of its version: higher where a reader of an earlier one would be misled.
#: Files of version 0.1 of the package have neither, nor intervals and published figures; all else is as it is now.
FORMAT, VERSION = "sclip-results", 1

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
        skipped: Images that could not be scored, and why.
        intervals: Lower and upper bound of each headline score's 95 % interval over images; none where there is none.
        published: Figures that the run was held against, by ``sclip reproduce``.
        seams: How often labels change across borders of windows where the ground truth does not: ``share``,
            ``share_elsewhere``, their ``ratio``, and the numbers of :class:`Seams`; None without windows or counts.
    """

    benchmark: str
    metrics: dict[str, float | None]
    classes: list[dict[str, Any]]
    protocol: dict[str, Any]
    performance: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    published: list[Figure] = field(default_factory=list)
    seams: dict[str, float | None] | None = None

    @classmethod
    def load(cls, folder: Path) -> "Results | None":
        """Read ``results.json``, also one of version 0.1 of the package; None if there is none.

        Raises:
            RunError: It cannot be read, or a later version of the format was written by a later package.
        """
        path = folder / RESULTS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            name, version = content.pop("format", FORMAT), content.pop("version", VERSION)
            if name == FORMAT and isinstance(version, int) and version > VERSION:
                msg = (
                    f"{path} is of version {version} of the format {FORMAT}, which a later sclip_lightning wrote; this "
                    f"one reads versions up to {VERSION}. Install a later one to read it."
                )
                raise RunError(msg)
            if (name, version) != (FORMAT, VERSION):
                raise ValueError(f"its format is {name!r}, version {version!r}, expected {FORMAT!r}, {VERSION}")
            return cls(**content | {"published": [Figure(**one) for one in content.get("published", [])]})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            msg = f"{path} cannot be read as the results of a run ({error}). Delete it, and evaluate again."
            raise RunError(msg) from error

    def save(self, folder: Path) -> None:
        """Write ``results.json`` and ``per_class.csv`` into ``folder``."""
        with replacing(folder / PER_CLASS) as path, path.open("w", newline="", encoding="utf-8") as file:
            rows = [csv_cells(without_nan(row)) for row in self.classes]
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        content = {"format": FORMAT, "version": VERSION, **asdict(self)}
        text = json.dumps(without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(folder / RESULTS, text + "\n")

    def table(self) -> str:
        """The headline scores and the protocol as plain text."""
        sections = [
            ("", {name: percent(value) for name, value in self.metrics.items()}),
            ("Protocol", self.protocol),
            ("This run", self.performance),
        ]
        if self.seams is not None:
            sections.insert(1, ("Labels that change where the ground truth does not", _seam_entries(self.seams)))
        width = max(len(name) for _, entries in sections for name in entries)
        lines = [f"{self.benchmark}"]
        for title, entries in sections:
            lines += [f"\n{title}"] if title else []
            lines += [f"  {name:<{width}}  {printable(_text(value))}" for name, value in entries.items()]
        lines += [f"\nNote: {printable(note)}" for note in self.notes]
        return "\n".join(lines)

    def markdown(self) -> str:
        """The scores of every class as a Markdown table."""
        columns = list(self.classes[0])
        rows = [[markdown_cell(_cell(row[column])) for column in columns] for row in self.classes]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in [columns, ["---"] * len(columns), *rows])


def results_of(run: Run, records: Records, performance: Mapping[str, Any] | None = None) -> Results:
    """What the records of a run add up to; also of a run that is not complete, with a note that it is not.

    Args:
        run: The run.
        records: Its records.
        performance: Speed and memory of its last session.
    """
    records = records.of(run.ids)
    scores = fold(records.images, run.classes, run.boundaries)
    notes = [*scores.notes, *run.notes]
    if records.skipped:
        first = records.skipped[0]
        notes.append(
            f"Incomplete: {counted(len(records.skipped), 'image', 'images')} could not be scored and "
            f"{'was' if len(records.skipped) == 1 else 'were'} skipped; the first, {first.id}: {first.skipped}"
        )
    missing = len(run.ids) - len(records.images) - len(records.skipped)
    if missing:
        are = "is" if missing == 1 else "are"
        notes.append(f"Unfinished: {missing} of {len(run.ids)} images {are} still to be segmented.")
    if records.conflicting:
        notes.append(
            f"{counted(len(records.conflicting), 'image was', 'images were')} segmented twice with different results, "
            f"{records.conflicting[0]} for one; those of the later session count."
        )
    if records.damaged:
        notes.append(
            f"{counted(records.damaged, 'line', 'lines')} of the records torn or damaged, as a killed process or a "
            "full disk leaves them: what stood there counts for nothing, and was segmented again or still has to be."
        )
    counted_seams = [record.counts.seams for record in records.images]
    uncounted = counted_seams.count(None)
    if 0 < uncounted < len(counted_seams):
        notes.append(
            f"Seams between windows are not reported: {counted(uncounted, 'image was', 'images were')} scored by an "
            "earlier version, which did not count them. For the figure, evaluate afresh (--overwrite)."
        )
    seams = sum_seams(counted_seams)
    mixed = run.mixed()
    return Results(
        benchmark=run.benchmark,
        metrics=without_nan(scores.metrics),
        classes=scores.classes,
        protocol={"images": f"{len(records.images)} of {run.split_size}", **run.protocol},
        performance=dict(performance or {}),
        environment=run.sessions[-1].environment,
        notes=[*notes, mixed] if mixed else notes,
        skipped={record.id: record.skipped or "" for record in records.skipped},
        intervals=intervals_of(run, records),
        seams=None if seams is None else seams.shares() | seams._asdict(),
    )


def intervals_of(run: Run, records: Records) -> dict[str, list[float]]:
    """Lower and upper bound of each headline score's 95 % interval; none for a score of fewer than two images."""
    found = score_intervals(tabulate(records.images, len(run.classes), run.boundaries))
    return {one.metric: [one.low, one.high] for one in found if not math.isnan(one.low)}


def _seam_entries(seams: Mapping[str, float | None]) -> dict[str, str]:
    shares = {"at borders of windows": percent(seams["share"]), "elsewhere": percent(seams["share_elsewhere"])}
    return shares | {"ratio": "-" if seams["ratio"] is None else f"{seams['ratio']:.2f}"}


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
