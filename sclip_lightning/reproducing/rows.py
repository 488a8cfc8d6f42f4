"""The published rows: what ``sclip test`` has to be given for each, and the figures that its run is held against.

They come from the methods' files; those of the demo, which nobody published, from a file of expectations that comes
with the package. Needs neither torch nor Lightning.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import known_benchmarks, load_method, method_names
from sclip_lightning.model.method_files import Figures, Method
from sclip_lightning.reports.published import Figure

__all__ = ["DEMO", "EXPECTED", "Row", "demo_rows", "every_row", "rows_of"]

#: Name that stands for the demo in the place of a method's, and the only benchmark that its rows have.
DEMO, _DEMO_BENCHMARK = "demo", "Demo"
#: What the demo's runs must come to.
EXPECTED = Path(__file__).with_name("expected.yaml")


@dataclass(frozen=True)
class Row:
    """One run, and all published figures that it should come to.

    Attributes:
        name: Of the run's folder.
        benchmark: What ``--data`` takes.
        arguments: Of ``sclip test``, without where the data lie.
        figures: Those that the run is held against.
        reasons: What is known to be done differently here.
        images: Number of images that the figures are for; None for all of the published split.
    """

    name: str
    benchmark: str
    arguments: tuple[str, ...]
    figures: tuple[Figure, ...]
    reasons: tuple[str, ...] = ()
    images: int | None = None

    def __str__(self) -> str:
        return f"{self.name} on {self.benchmark}"


def every_row() -> list[Row]:
    """All rows of all methods, by method."""
    return [row for name in method_names() for row in _rows(name, load_method(name))]


def rows_of(name: str, benchmarks: Sequence[str] = (), titles: Sequence[str] = ()) -> list[Row]:
    """The rows of a method, or of the demo.

    Args:
        name: Key of the method, or ``demo``.
        benchmarks: Only those on these; all without.
        titles: Only those with a list of figures whose title has one of these in it; all without.

    Raises:
        ConfigError: There is no such method or benchmark, or no figure is left that a run can be held against.
    """
    if name != DEMO and name not in method_names():
        try:
            load_method(name)
        except ConfigError as error:
            raise ConfigError(f"{error} The demo's rows go by the name {DEMO}.") from error
    known = known_benchmarks()
    if unknown := [benchmark for benchmark in benchmarks if benchmark not in [*known, _DEMO_BENCHMARK]]:
        raise ConfigError(f"--data {unknown[0]} is no benchmark with published figures. Known: {', '.join(known)}.")
    rows = demo_rows() if name == DEMO else _rows(name, load_method(name))
    found = [row for row in rows if row.benchmark in benchmarks or not benchmarks]
    found = [kept for row in found if (kept := _with_titles(row, titles)).figures]
    missing = [benchmark for benchmark in benchmarks if benchmark not in [row.benchmark for row in found]]
    if missing or not found:
        raise ConfigError(_nothing_left(name, rows, missing, titles))
    return found


def demo_rows() -> list[Row]:
    """What the demo's runs must come to."""
    rows = []
    for entry in yaml.safe_load(EXPECTED.read_text(encoding="utf-8")):
        common = {"method": "The demo", "title": entry["title"], "source": "reproducing/expected.yaml of this package"}
        figures = [
            Figure(**common, metric=metric, value=float(text), decimals=_decimals([text]), precision="32 bit")
            for metric, text in entry["scores"].items()
        ]
        arguments = tuple(entry["arguments"])
        rows.append(Row(entry["name"], _DEMO_BENCHMARK, arguments, tuple(figures), images=entry.get("images")))
    return rows


def _rows(name: str, facts: Method) -> list[Row]:
    """Lists of figures that the same arguments compute share their runs."""
    by_arguments: dict[tuple[str, ...], list[Figures]] = {}
    for figures in facts.published:
        if figures.no_target is None:
            by_arguments.setdefault(tuple(figures.arguments), []).append(figures)
    rows = []
    for arguments, lists in by_arguments.items():
        for benchmark in known_benchmarks():
            having = [one for one in lists if isinstance(one.miou.get(benchmark), int | float)]
            found = [_figure(facts, one, benchmark) for one in having]
            if found:
                given = ("--method", name, *arguments, "--data", benchmark)
                rows.append(Row(_run_name(name, arguments), benchmark, given, tuple(found), tuple(facts.deviations)))
    return rows


def _with_titles(row: Row, titles: Sequence[str]) -> Row:
    """The row with the figures of those lists alone whose title has one of some words in it; all without words."""
    wanted = [title.casefold() for title in titles]
    kept = [one for one in row.figures if not wanted or any(words in one.title.casefold() for words in wanted)]
    return replace(row, figures=tuple(kept))


def _figure(facts: Method, figures: Figures, benchmark: str) -> Figure:
    numbers = [value for value in figures.miou.values() if not isinstance(value, str)]
    return Figure(
        method=facts.name,
        title=figures.title,
        source=figures.source,
        metric="mIoU",
        value=float(figures.miou[benchmark]),
        decimals=_decimals(numbers),
        weights=figures.weights,
    )


def _decimals(numbers: Sequence[Any]) -> int:
    """Digits behind the point that a list of figures is published with: YAML drops the 0 of 23.40, but not of all."""
    return max(len(str(number).partition(".")[2]) for number in numbers)


def _run_name(method: str, arguments: Sequence[str]) -> str:
    """A folder's name: the method, and what is laid over it."""
    values = [Path(argument.partition("=")[2]).stem for argument in arguments]
    return "-".join([method, *(re.sub(r"[^\w]+", "-", value) for value in values)])


def _nothing_left(name: str, rows: Sequence[Row], missing: Sequence[str], titles: Sequence[str]) -> str:
    """Why no row is left, and what there is."""
    title = "The demo" if name == DEMO else load_method(name).name
    if not rows:
        reasons = dict.fromkeys(figures.no_target for figures in load_method(name).published)
        why = "; ".join(str(reason) for reason in reasons) or "no figure for its parts was found"
        return f"No run can be held against published figures of {title}: {why}. Name another method, or --all."
    lists = dict.fromkeys(figure.title for row in rows for figure in row.figures)
    where = dict.fromkeys(row.benchmark for row in rows)
    asked = f" on {', '.join(missing)}" if missing else ""
    asked += f" with {' or '.join(map(repr, titles))} in its title" if titles else ""
    return (
        f"{title} has no figure{asked} that a run can be held against. Its lists are called {'; '.join(lists)}. Its "
        f"benchmarks are {', '.join(where)}."
    )
