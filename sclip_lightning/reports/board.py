"""Many runs in one table: a row is a run or a list of published figures, a column a score under one protocol.

Runs that were evaluated in different ways, on other images or with other weights never share a column. A published
figure stands in the column of a run that was held against it, where that run was its experiment.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any

from sclip_lightning.errors import ConfigError
from sclip_lightning.reports.cells import markdown_cell
from sclip_lightning.reports.methods import is_evaluation
from sclip_lightning.reports.results import Results
from sclip_lightning.reports.tables import render

__all__ = ["MEASURED", "PUBLISHED", "Board", "Cell", "Column", "board", "csv_board", "markdown_board"]

#: Kinds of rows.
MEASURED, PUBLISHED = "measured", "published"


@dataclass(frozen=True)
class Column:
    """One score of one benchmark under one protocol.

    Attributes:
        benchmark: Its name.
        letter: Tells protocols of one benchmark apart; empty where there is only one.
        metric: Name of the score.
        protocol: How it was evaluated, one entry per choice.
    """

    benchmark: str
    letter: str
    metric: str
    protocol: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Benchmark and letter."""
        return f"{self.benchmark} ({self.letter})" if self.letter else self.benchmark


@dataclass(frozen=True)
class Cell:
    """A score in percent as it is shown, and as a fraction with the bounds of its 95 % interval, if it has one."""

    text: str
    score: float
    low: float | None = None
    high: float | None = None
    folder: str = ""
    source: str = ""


@dataclass
class Board:
    """A table of runs.

    Attributes:
        columns: By benchmark in the order of the runs, then by protocol, then by score; none is empty.
        rows: By name and kind, the cell of each column that has one, by its place and score.
        remarks: What a reader must know.
    """

    columns: list[Column]
    rows: dict[tuple[str, str], dict[tuple[str, str], Cell]]
    remarks: list[str] = field(default_factory=list)

    def heads(self) -> list[str]:
        """What stands above each column: the score only where there are several."""
        several = len({column.metric for column in self.columns}) > 1
        return [f"{column.place} {column.metric}" if several else column.place for column in self.columns]

    def lines(self) -> list[tuple[str, str, list[Cell | None]]]:
        """Name and kind of each row, and its cells, one a column."""
        return [
            (name, kind, [cells.get((column.place, column.metric)) for column in self.columns])
            for (name, kind), cells in self.rows.items()
        ]

    def protocols(self) -> dict[str, str]:
        """How scores were evaluated, in words: by benchmark what its columns share, by column what they do not."""
        words: dict[str, str] = {}
        for benchmark in dict.fromkeys(column.benchmark for column in self.columns):
            ways = {column.place: column.protocol for column in self.columns if column.benchmark == benchmark}
            names = dict.fromkeys(name for way in ways.values() for name in way)
            shared = {name for name in names if len({str(way.get(name, "-")) for way in ways.values()}) == 1}
            first = next(iter(ways.values()))
            words[benchmark] = ", ".join(f"{name} {first[name]}" for name in names if name in shared)
            for place, way in ways.items():
                own = [f"{name} {way.get(name, '-')}" for name in names if name not in shared]
                words |= {place: ", ".join(own)} if own else {}
        return words


def board(runs: Mapping[str, Results], names: Mapping[str, str], metrics: Sequence[str] = ("mIoU",)) -> Board:
    """Put runs into one table.

    Args:
        runs: Results by the run's folder.
        names: What each run's row is called, by folder; runs of one name share a row where they have no cell in common.
        metrics: The scores to show.

    Raises:
        ConfigError: A score that none of the runs has.
    """
    known = dict.fromkeys(name for results in runs.values() for name in results.metrics)
    if unknown := [metric for metric in metrics if metric not in known]:
        raise ConfigError(f"--metric {unknown[0]} is none of the scores of these runs: {', '.join(known)}.")
    ways: dict[str, dict[str, dict[str, Any]]] = {}
    for results in runs.values():
        ways.setdefault(results.benchmark, {})[_key(results)] = _way(results)
    columns = {
        (benchmark, key): [Column(benchmark, letter, metric, way) for metric in metrics]
        for benchmark, found in ways.items()
        for letter, (key, way) in zip(_letters(len(found)), found.items(), strict=True)
    }
    made = Board([], {})
    for folder, results in runs.items():
        cells = {}
        for column in columns[results.benchmark, _key(results)]:
            cell = _cell(results, column.metric, folder)
            if cell is not None:
                cells[column.place, column.metric] = cell
        taken = made.rows.get((names[folder], MEASURED), {}).keys() & cells.keys()
        made.rows.setdefault((folder if taken else names[folder], MEASURED), {}).update(cells)
        for column in columns[results.benchmark, _key(results)]:
            _add_published(made, results, column, folder)
    filled = {place for cells in made.rows.values() for place in cells}
    made.columns = [one for several in columns.values() for one in several if (one.place, one.metric) in filled]
    made.remarks += _remarks(made)
    return made


def markdown_board(made: Board) -> str:
    """The table, and below it what each column's protocol is and what a reader must know."""
    rows = [
        {
            "run": name,
            "": kind,
            **{head: "-" if cell is None else cell.text for head, cell in zip(made.heads(), cells, strict=True)},
        }
        for name, kind, cells in made.lines()
    ]
    lines = [f"**{markdown_cell(place)}**: {markdown_cell(words)}" for place, words in made.protocols().items()]
    remarks = [markdown_cell(remark) for remark in made.remarks]
    return "\n\n".join([render(rows, "markdown"), *remarks, *lines]) + "\n"


def csv_board(made: Board) -> str:
    """A line per score, with all digits and every entry of its protocol."""
    rows = [
        {
            "run": name,
            "kind": kind,
            "benchmark": column.benchmark,
            "protocol": column.letter,
            "metric": column.metric,
            "score": cell.score,
            "low": cell.low,
            "high": cell.high,
            "folder": cell.folder,
            "source": cell.source,
            **{f"protocol.{entry}": value for entry, value in column.protocol.items()},
        }
        for name, kind, cells in made.lines()
        for column, cell in zip(made.columns, cells, strict=True)
        if cell is not None
    ]
    return render(rows, "csv") + "\n"


def _cell(results: Results, metric: str, folder: str) -> Cell | None:
    score, bounds = results.metrics.get(metric), results.intervals.get(metric)
    if score is None:
        return None
    if bounds is None:
        return Cell(f"{100 * score:.2f}", score, folder=folder)
    low, high = bounds
    return Cell(f"{100 * score:.2f} [{100 * low:.2f}, {100 * high:.2f}]", score, low, high, folder)


def _add_published(made: Board, results: Results, column: Column, folder: str) -> None:
    """Add the figures that a run was held against, each list a row of its own."""
    for figure in results.published:
        if figure.metric != column.metric:
            continue
        name = f"{figure.method}, {figure.title}"
        if figure.verdict == "not comparable":
            made.remarks.append(
                f"Left out: {figure.metric} {figure.published_text()} of {name} on {results.benchmark}, since {folder} "
                f"is another experiment: {figure.reasons[0]}."
            )
            continue
        cell = Cell(figure.published_text(), figure.value / 100, source=figure.source)
        made.rows.setdefault((name, PUBLISHED), {})[column.place, column.metric] = cell


def _remarks(made: Board) -> list[str]:
    metrics = list(dict.fromkeys(column.metric for column in made.columns))
    remarks = [f"Scores are {metrics[0]}, in percent."] if len(metrics) == 1 else []
    cells = [cell for (_, kind), row in made.rows.items() if kind == MEASURED for cell in row.values()]
    if any(cell.low is not None for cell in cells):
        remarks.append("In brackets: the 95 % interval over images of the same kind (bootstrap).")
    without = dict.fromkeys(cell.folder for cell in cells if cell.low is None)
    if without:
        remarks.append(f"Without intervals, since their results have none: {', '.join(without)}.")
    if any(kind == PUBLISHED for _, kind in made.rows):
        remarks.append("Published figures were not measured with this package.")
    return remarks


def _way(results: Results) -> dict[str, Any]:
    """How a run was evaluated: what two runs must have in common to share a column."""
    return {name: value for name, value in results.protocol.items() if is_evaluation(name)}


def _key(results: Results) -> str:
    return json.dumps(_way(results), sort_keys=True)


def _letters(number: int) -> list[str]:
    """a, b, ... for several; an empty one for one."""
    if number == 1:
        return [""]
    return [ascii_lowercase[i] if i < len(ascii_lowercase) else f"a{i}" for i in range(number)]
