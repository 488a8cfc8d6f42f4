"""What the page says of runs: their scores with intervals, classes, confusions and images. Imports numpy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sclip_lightning.records import ImageRecord, sum_up
from sclip_lightning.records.confusions import image_miou, largest_confusions, rank
from sclip_lightning.records.fold import region_scores
from sclip_lightning.records.run import Run
from sclip_lightning.reports.cells import printable
from sclip_lightning.reports.comparison import (
    Difference,
    ImageTable,
    Interval,
    paired_bootstrap,
    remark_on,
    score_intervals,
    tabulate,
)
from sclip_lightning.reports.results import Results, without_nan

__all__ = ["KINDS", "Report", "RunView", "choose", "describe"]

#: Rows of the table of confusions, for each run.
CONFUSIONS = 100
#: Up to so many classes the whole matrix of confusions is shown.
MATRIX = 40
#: Digits of a fraction that scores of single images and classes are written with.
DIGITS = 5
#: Kinds of images that a gallery shows, and what each is.
KINDS = {
    "worst": "lowest mIoU of the image",
    "median": "mIoU of the image around the median",
    "fixed": "spread evenly over the data set, the same in every run",
    "differing": "mIoU of the image differs most between the runs",
    "all": "every image that was scored",
}


@dataclass(frozen=True)
class RunView:
    """One run, as the page takes it.

    Attributes:
        name: What it is called on the page.
        folder: Where it lies, as the user gave it.
        run: Its description.
        records: Its scored images, in the order of ``run.ids``.
        results: What it reports.
    """

    name: str
    folder: str
    run: Run
    records: list[ImageRecord]
    results: Results


@dataclass(frozen=True)
class Report:
    """All that stands on the page but pictures.

    Attributes:
        title: Of the page.
        summary: A line below it.
        metrics: Names of the headline scores.
        scores: A row for each run: ``name``, ``folder``, ``images``, and ``cells``, one :class:`Cell` a score.
        compared: How many images differences to the first run are over; 0 with one run.
        protocol: Entries of all protocols: name, one value for each run, and whether these differ.
        notes: What a reader must know.
        data: What the page's scripts draw, as JSON has it.
        ids: Images that any of the runs has scored.
        means: [runs, images] mIoU of each image, NaN where it has none.
    """

    title: str
    summary: str
    metrics: list[str]
    scores: list[dict[str, Any]]
    compared: int
    protocol: list[dict[str, Any]]
    notes: list[str]
    data: dict[str, Any]
    ids: list[str]
    means: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """A headline score of a run: with its interval, and the difference to the first run with its own."""

    interval: Interval
    difference: Difference | None = None
    axis: tuple[float, float] = field(default=(0.0, 1.0))

    @property
    def whisker(self) -> dict[str, float]:
        """Where interval and score lie on the column's axis, in percent."""
        start, end = self.axis
        places = {"low": self.interval.low, "score": self.interval.score, "high": self.interval.high}
        return {name: round(100 * (value - start) / (end - start), 2) for name, value in places.items()}


def describe(views: Sequence[RunView], notes: Sequence[str] = (), resamples: int = 1000, seed: int = 0) -> Report:
    """Collect what the page shows.

    Args:
        views: Runs of one benchmark; the others are compared with the first.
        notes: What a reader must know.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    first = views[0].run
    classes = [printable(name) for name in first.classes]
    boundaries = [name for name in first.boundaries if all(name in view.run.boundaries for view in views)]
    tables = [tabulate(view.records, len(classes), boundaries) for view in views]
    cells, compared, remarks = _cells(views, tables, boundaries, resamples, seed)
    ids = list(dict.fromkeys(record.id for view in views for record in view.records))
    metrics = list(cells[0])
    means = _by_image(ids, views)
    numbers = sorted({len(view.records) for view in views})
    images = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    benchmark, single = printable(first.benchmark), len(views) == 1
    return Report(
        title=f"{benchmark}: {views[0].name if single else f'{len(views)} runs'}",
        summary=f"{benchmark}, {images} of {first.split_size} images, {len(classes)} classes",
        metrics=metrics,
        scores=[
            {"name": view.name, "folder": view.folder, "images": len(view.records), "cells": list(row.values())}
            for view, row in zip(views, cells, strict=True)
        ],
        compared=compared,
        protocol=_protocol(views),
        notes=[printable(note) for note in (*notes, *remarks)],
        data=without_nan(
            {
                "classes": classes,
                "metrics": metrics,
                "ids": [printable(id_) for id_ in ids],
                "best": _best(cells),
                "runs": [_run_data(view, table, ids) for view, table in zip(views, tables, strict=True)],
            }
        ),
        ids=ids,
        means=means,
    )


def choose(report: Report, kinds: Sequence[str], number: int) -> dict[str, list[str]]:
    """The kinds that an image is shown for, by id, in the data set's order.

    Args:
        report: What the page says; ranks are those of the first run.
        kinds: Some of ``KINDS``.
        number: Images of each kind.
    """
    worst, median = rank(dict(enumerate(report.means[0].tolist())), number, number)
    spread = np.nan_to_num(np.nanmax(report.means, 0, initial=0) - np.nanmin(report.means, 0, initial=1))
    differing = [i for i in np.argsort(-spread, kind="stable").tolist() if spread[i] > 0][:number]
    count = min(number, len(report.ids))
    places: dict[str, Sequence[int]] = {
        "worst": worst,
        "median": median,
        "fixed": [i * len(report.ids) // count for i in range(count)],
        "differing": differing if len(report.means) > 1 else [],
        "all": range(len(report.ids)),
    }
    chosen: dict[int, list[str]] = {}
    for kind in kinds:
        for place in places[kind]:
            chosen.setdefault(place, []).append(kind)
    return {report.ids[place]: chosen[place] for place in sorted(chosen)}


def _cells(
    views: Sequence[RunView], tables: Sequence[ImageTable], boundaries: Sequence[str], resamples: int, seed: int
) -> tuple[list[dict[str, Cell]], int, list[str]]:
    """A row of cells for each run, over how many images differences are, and remarks on them."""
    intervals = [{one.metric: one for one in score_intervals(table, resamples, seed)} for table in tables]
    scored = [{record.id for record in view.records} for view in views]
    common = [id_ for id_ in views[0].run.ids if all(id_ in ids for ids in scored)]
    differences: list[dict[str, Difference]] = [{} for _ in views]
    if len(views) > 1 and common:
        number = len(views[0].run.classes)
        by_id = [{record.id: record for record in view.records} for view in views]
        shared = [tabulate([one[id_] for id_ in common], number, boundaries) for one in by_id]
        for place, table in enumerate(shared[1:], 1):
            found = paired_bootstrap(shared[0], table, resamples, seed)
            differences[place] = {difference.metric: difference for difference in found}
    rows = []
    for own_intervals, own_differences in zip(intervals, differences, strict=True):
        rows.append(
            {
                name: Cell(interval, own_differences.get(name), _axis([one[name] for one in intervals]))
                for name, interval in own_intervals.items()
            }
        )
    few = remark_on([interval for row in intervals for interval in row.values()])
    return rows, len(common) if len(views) > 1 else 0, [few] if few else []


def _best(cells: Sequence[Mapping[str, Cell]]) -> int:
    """The run that is shown first beside the first run: of the others that with the highest mIoU."""
    scores = [row["mIoU"].interval.score for row in cells]
    others = [place for place in range(1, len(scores)) if scores[place] == scores[place]]
    return max(others, key=lambda place: scores[place], default=len(scores) - 1)


def _axis(intervals: Sequence[Interval]) -> tuple[float, float]:
    """Where the axis of a column begins and ends: with its widest intervals, and some room."""
    bounds = [bound for one in intervals for bound in (one.low, one.score, one.high) if bound == bound]
    if not bounds:
        return 0.0, 1.0
    room = max(0.05 * (max(bounds) - min(bounds)), 0.005)
    return min(bounds) - room, max(bounds) + room


def _by_image(ids: Sequence[str], views: Sequence[RunView]) -> npt.NDArray[np.float64]:
    places = {id_: place for place, id_ in enumerate(ids)}
    means = np.full((len(views), len(ids)), np.nan)
    for row, view in zip(means, views, strict=True):
        for record in view.records:
            row[places[record.id]] = image_miou(record.counts.confusion)
    return means


def _run_data(view: RunView, table: ImageTable, ids: Sequence[str]) -> dict[str, Any]:
    """What the scripts draw of one run."""
    confusion = sum_up(view.records, len(view.run.classes), ()).confusion
    places = {record.id: place for place, record in enumerate(view.records)}
    images: list[dict[str, Any] | None] = []
    scores = table.image_scores()
    present = (table.true + table.predicted) > 0
    ious = region_scores(table.hits, table.true, table.predicted)["IoU"]
    for id_ in ids:
        place = places.get(id_)
        if place is None:
            images.append(None)
            continue
        found = np.flatnonzero(present[place])
        images.append(
            {
                "s": [_rounded(values[place]) for values in scores.values()],
                "c": found.tolist(),
                "i": [_rounded(value) for value in ious[place, found]],
            }
        )
    with np.errstate(invalid="ignore"):
        shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return {
        "name": view.name,
        "rows": [
            {name: _rounded(value) if isinstance(value, float) else value for name, value in row.items()}
            for row in ({name: value for name, value in row.items() if name != "class"} for row in view.results.classes)
        ],
        "pixels": confusion.sum(axis=1).tolist(),
        "inImages": (table.true > 0).sum(axis=0).tolist(),
        "images": images,
        "confusions": [
            [one.target, one.prediction, one.pixels, _rounded(one.of_class), _rounded(one.of_errors)]
            for one in largest_confusions(confusion, CONFUSIONS)
        ],
        "matrix": np.round(shares, DIGITS).tolist() if len(confusion) <= MATRIX else None,
    }


def _rounded(value: Any) -> float:
    return round(float(value), DIGITS)


def _protocol(views: Sequence[RunView]) -> list[dict[str, Any]]:
    """Entries in which runs differ first."""
    protocols: list[Mapping[str, Any]] = [view.results.protocol for view in views]
    entries = []
    for name in dict.fromkeys(name for protocol in protocols for name in protocol):
        values = [printable(str(protocol.get(name, "-"))) for protocol in protocols]
        entries.append({"name": printable(name), "values": values, "differs": len(set(values)) > 1})
    return sorted(entries, key=lambda entry: not entry["differs"])
