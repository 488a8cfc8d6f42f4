"""Methods by benchmarks, as a paper shows them: a row is a method, a column a benchmark, a cell one run."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from sclip_lightning.errors import ConfigError
from sclip_lightning.reports.results import Results
from sclip_lightning.reports.tables import Marked

__all__ = ["EVALUATION", "is_evaluation", "method_table"]

#: Entries of a protocol that say how a method was evaluated; all others (its parts and their numbers) are the method.
#: Those of an own data set begin with ``data.``.
EVALUATION = (
    *("images", "data", "ground_truth", "label_map_sha256", "classes", "class_file", "class_file_sha256", "templates"),
    *("short_side", "long_side", "names", "crop", "stride", "padding", "logit_scale", "prob_threshold"),
    *(
        "refine_side",
        "area_threshold",
        "background",
        "architecture",
        "architecture_sha256",
        "weights",
        "weights_sha256",
        "precision",
        "compiled",
    ),
)
#: Entries in which the runs of one method should agree although their benchmarks differ.
_OF_THE_NETWORK = ("architecture", "architecture_sha256", "weights", "weights_sha256", "precision")

#: Runs by method and benchmark.
Cells = Mapping[tuple[str, str], Results]


def method_table(
    runs: Mapping[str, Results], metric: str, spelled_out: bool = False
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of the table, and what a reader must know of them.

    A method is called what its runs' folders are called. Where the runs on one benchmark were evaluated in different
    ways, or not on all images, every one of them is marked. The mean stands where a method has a score on every
    benchmark.

    Args:
        runs: Results by the run's folder, as it was given.
        metric: The score to show.
        spelled_out: Say what a mark means in a column of its own, for formats without remarks.

    Raises:
        ConfigError: Two runs for one cell, or a score that none of the runs has.
    """
    known = dict.fromkeys(name for results in runs.values() for name in results.metrics)
    if metric not in known:
        msg = f"--metric {metric} is none of the scores of these runs: {', '.join(known)}."
        raise ConfigError(msg)
    cells = _cells(runs)
    methods, benchmarks = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    letters = _letters()
    marks: dict[tuple[str, str], str] = {}
    meanings: dict[str, str] = {}
    for benchmark in benchmarks:
        column = {method: cells[method, benchmark].protocol for method in methods if (method, benchmark) in cells}
        given: dict[str, str] = {}
        for method, way in _ways(column).items():
            if way not in given:
                given[way] = next(letters)
                meanings[given[way]] = way
            marks[method, benchmark] = given[way]

    rows = []
    for method in methods:
        row: dict[str, Any] = {"method": method}
        for benchmark in benchmarks:
            results, mark = cells.get((method, benchmark)), marks.get((method, benchmark))
            score = None if results is None else results.metrics.get(metric)
            row[benchmark] = score if score is None or mark is None else Marked(score, mark)
            if spelled_out and any(there == benchmark for _, there in marks):
                row[f"{benchmark} protocol"] = meanings.get(mark or "", "")
        if len(benchmarks) > 1:
            row["mean"] = _mean([row[benchmark] for benchmark in benchmarks])
        rows.append(row)
    if all(row.get("mean") is None for row in rows):
        rows = [{name: value for name, value in row.items() if name != "mean"} for row in rows]

    remarks = [f"The score is {metric}."]
    if marks:
        remarks.append("Letters say how a run was evaluated, on benchmarks where runs differ in that or lack images:")
        of_mark = {mark: benchmark for (_, benchmark), mark in marks.items()}
        remarks += [f"{mark}: {of_mark[mark]} with {way}" for mark, way in meanings.items()]
    return rows, remarks + [line for method in methods for line in _changes(method, benchmarks, cells)]


def _cells(runs: Mapping[str, Results]) -> Cells:
    cells: dict[tuple[str, str], Results] = {}
    folders: dict[tuple[str, str], str] = {}
    for folder, results in runs.items():
        place = Path(os.path.abspath(Path(folder).expanduser())).name, results.benchmark  # noqa: PTH100  of . and .., too
        if place in cells:
            msg = (
                f"Two runs are of method {place[0]} on benchmark {place[1]}: {folders[place]} and {folder}. "
                "A method is called what its runs' folders are called. Give one of the two, or rename a folder."
            )
            raise ConfigError(msg)
        cells[place], folders[place] = results, folder
    return cells


def _ways(column: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By method, how it was evaluated, in the entries that the methods differ in; empty where they differ in none."""
    names = dict.fromkeys(name for protocol in column.values() for name in protocol if is_evaluation(name))
    values = {name: [str(protocol.get(name, "-")) for protocol in column.values()] for name in names}
    differing = [name for name, found in values.items() if len(set(found)) > 1]
    if "images" not in differing and not all(_is_whole(images) for images in values.get("images", [])):
        differing.insert(0, "images")
    if not differing:
        return {}
    return {method: ", ".join(f"{name} {values[name][i]}" for name in differing) for i, method in enumerate(column)}


def is_evaluation(name: str) -> bool:
    """Whether an entry of a protocol says how a method was evaluated."""
    return name in EVALUATION or name.startswith("data.")


def _is_whole(images: str) -> bool:
    done, _, all_of_them = images.partition(" of ")
    return done == all_of_them


def _changes(method: str, benchmarks: Sequence[str], cells: Cells) -> list[str]:
    """What a method's runs differ in besides the ways of benchmarks, a line an entry."""
    protocols = {there: cells[method, there].protocol for there in benchmarks if (method, there) in cells}
    names = dict.fromkeys(name for protocol in protocols.values() for name in protocol)
    lines = []
    for name in names:
        if is_evaluation(name) and name not in _OF_THE_NETWORK:
            continue
        by_value: dict[str, list[str]] = {}
        for benchmark, protocol in protocols.items():
            by_value.setdefault(str(protocol.get(name, "-")), []).append(benchmark)
        if len(by_value) > 1:
            entries = "; ".join(f"{value} ({', '.join(where)})" for value, where in by_value.items())
            lines.append(f"{method}, {name}: {entries}")
    return lines


def _mean(scores: Sequence[float | None]) -> float | None:
    """The mean over all benchmarks, with all their marks; None where one is missing."""
    present = [score for score in scores if score is not None]
    if len(present) < len(scores):
        return None
    mean, marks = sum(present) / len(present), [score.mark for score in present if isinstance(score, Marked)]
    return Marked(mean, ",".join(marks)) if marks else mean


def _letters() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    length = 1
    while True:
        for number in range(len(ascii_lowercase) ** length):
            yield "".join(ascii_lowercase[number // 26**place % 26] for place in reversed(range(length)))
        length += 1
