"""Writes what pages and CITATION.cff repeat of the methods' files and of results: ``python docs/tables.py``.

A table of reproducing.md or README stands between ``<!-- NAME -->`` and ``<!-- end -->``, the methods' citations in
CITATION.cff between ``# methods`` and ``# end``; whatever else they say is written by hand. Measured figures come from
the files ``results/**/results.json`` beside this one, put into tables as ``sclip board`` does.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sclip_lightning.commands.board import find_runs
from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.model.facts import (
    COMMON,
    OWN,
    known_benchmarks,
    load_method,
    method_names,
    objects_in,
    protocol_of,
)
from sclip_lightning.model.method_files import Method
from sclip_lightning.reports.board import board, markdown_board
from sclip_lightning.reports.published import Figure
from sclip_lightning.reports.results import Results

__all__ = ["CITATION", "PAGES", "filled", "with_citations"]

#: The pages that have tables.
PAGES = (Path(__file__).parent / "reproducing.md", Path(__file__).parents[1] / "README.md")
CITATION = Path(__file__).parents[1] / "CITATION.cff"
#: Results of runs, in folders called as the runs are.
RESULTS = Path(__file__).parent / "results"
#: Scores of the table of runs.
_METRICS = ("mIoU", "bF1@0.75pct", "bF1@3px")

#: Figures that runs were held against, by benchmark, method and title.
Measured = Mapping[tuple[str, str, str], Figure]

#: Rows of the protocols' table, each with its fields and how their values are written.
_ROWS: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {
    "short side": (("short_side",), str),
    "window / stride": (("crop", "stride"), lambda crop, stride: f"{crop} / {stride}" if crop else "whole image"),
    "logit scale": (("logit_scale",), lambda scale: f"{scale:g}"),
    "probability threshold": (("prob_threshold",), lambda value: f"{value:g}" if value else "none"),
    "area threshold": (("area_threshold",), lambda value: f"{value:g}" if value else "none"),
    "prompt names": (("class_file",), lambda file: f"`{file}`" if file else "SCLIP's"),
}


def filled(text: str) -> str:
    """The page with every table as the methods' files have it."""
    measured = measured_figures(RESULTS)
    tables = {
        "measured": measured_board(RESULTS),
        "methods": methods_table(),
        "methods in short": short_methods_table(),
        "protocols": protocols_table(),
        "stand-ins": stand_ins(),
        **{f"published {name}": published_table(load_method(name), measured) for name in method_names()},
        **{f"numbers {name}": numbers_table(load_method(name)) for name in method_names()},
        **{f"deviations {name}": bullets(load_method(name).deviations) for name in method_names()},
    }

    def replaced(match: re.Match[str]) -> str:
        return f"<!-- {match[1]} -->\n\n{tables[match[1]]}\n\n<!-- end -->"

    return re.sub(r"<!-- ([\w -]+) -->\n.*?<!-- end -->", replaced, text, flags=re.DOTALL)


def with_citations(text: str) -> str:
    """CITATION.cff with a reference per paper."""
    lines = []
    papers = {load_method(name).arxiv: load_method(name) for name in _in_order()}
    for facts in papers.values():
        lines += [
            "  - type: conference-paper" if "IEEE" not in facts.venue else "  - type: article",
            f"    title: {_quoted(facts.title)}",
            f"    authors: [{{name: {_quoted(facts.authors)}}}]",
            f"    {'collection-title' if 'IEEE' not in facts.venue else 'journal'}: {_quoted(facts.venue)}",
            f"    identifiers: [{{type: other, value: {_quoted('arXiv:' + facts.arxiv)}}}]",
        ]
    block = "\n".join(lines)
    return re.sub(r"(  # methods[^\n]*\n).*?(?=  # end)", lambda match: f"{match[1]}{block}\n", text, flags=re.DOTALL)


def methods_table() -> str:
    """Paper, code, licence and parts of every method."""
    rows = []
    for name in _in_order():
        facts = load_method(name)
        commit = f" at `{facts.code.commit}`" if facts.code.commit else ""
        protocol = facts.protocol if isinstance(facts.protocol, str) else name
        rows.append(
            [
                f"[{facts.name}](https://arxiv.org/abs/{facts.arxiv}) ({facts.authors}, {facts.venue})",
                f"`{name}.yaml`",
                f"{_parts(facts.parts)}; protocol `{protocol}`",
                f"{facts.code.repository}{commit}; {facts.licence.code}",
            ]
        )
    return _table(["method", "configuration", "it sets", "authors' code and its licence"], rows)


def short_methods_table() -> str:
    """Paper, option and parts of every method."""
    rows = []
    for name in _in_order():
        facts = load_method(name)
        protocol = f"that of `{facts.protocol}`" if isinstance(facts.protocol, str) else "its authors'"
        if facts.absent:
            protocol = "none for these benchmarks: add `--protocol`"
        paper = f"[{facts.name}](https://arxiv.org/abs/{facts.arxiv}) ({facts.venue})"
        rows.append([paper, f"`--method {name}`", _parts(facts.parts), protocol])
    return _table(["method", "option", "it sets", "protocol"], rows)


def protocols_table() -> str:
    """What each protocol sets: the value of most benchmarks first, then those that differ."""
    names = [name for name in _in_order() if not isinstance(load_method(name).protocol, str)]
    rows = [[title, *(_protocol_cell(name, *row) for name in names)] for title, row in _ROWS.items()]
    return _table(["", *(load_method(name).name for name in names)], rows)


def stand_ins() -> str:
    """One line per benchmark that nobody published values for."""
    lines = []
    for name in _in_order():
        facts = load_method(name)
        for benchmark, source in facts.stand_ins.items():
            what = "what its other benchmarks share" if source == COMMON else f"its values for {source}"
            lines.append(f"{facts.name}, {'own classes' if benchmark == OWN else benchmark}: {what}.")
        if facts.absent:
            lines.append(f"{facts.name}, all nine: none ({facts.absent.reason}); name another with `--model.protocol`.")
    return bullets(lines)


def measured_board(folder: Path) -> str:
    """All results below a folder as ``sclip board`` shows them."""
    runs = {path.relative_to(folder).as_posix(): Results.load(path) for path in find_runs([folder])}
    found = {name: results for name, results in runs.items() if results is not None}
    return markdown_board(board(found, {name: Path(name).name for name in found}, _METRICS)).rstrip()


def measured_figures(folder: Path) -> Measured:
    """Every published figure that a run below a folder was held against."""
    runs = [Results.load(path) for path in find_runs([folder])]
    return {(run.benchmark, one.method, one.title): one for run in runs if run is not None for one in run.published}


def published_table(facts: Method, measured: Measured) -> str:
    """The published figures of a method, a row per benchmark; of other benchmarks where it has no figures of ours.

    A list with figures that were measured with this package has a column with these beside it.
    """
    if not facts.published:
        return "No figure for these parts was found."
    known = known_benchmarks()
    others = [key for figures in facts.published for key in figures.miou if key not in known]
    head = ["benchmark"]
    rows = {benchmark: [benchmark] for benchmark in dict.fromkeys(others or known)}
    for figures in facts.published:
        found = {row: measured.get((row, facts.name, figures.title)) for row in rows}
        head.append(figures.title)
        for benchmark, row in rows.items():
            row.append(str(figures.miou.get(benchmark, "not published")))
        if any(found.values()):
            head.append(f"measured here ({figures.title})")
            for benchmark, row in rows.items():
                row.append(_measured_cell(found[benchmark]))
    table = _table(head, list(rows.values()))
    sources = [f"*{figures.title}*: {figures.switched_on}. Source: {figures.source}." for figures in facts.published]
    return f"{table}\n\n{bullets(line.replace('..', '.') for line in sources)}"


def _measured_cell(figure: Figure | None) -> str:
    return f"{figure.measured_text()}, {figure.verdict}" if figure else "-"


def numbers_table(facts: Method) -> str:
    """The hyper-parameters of a method's parts, a row per benchmark."""
    tables = {part: table for part, table in facts.hyperparameters.items() if table.keys() != {COMMON}}
    titles = [f"{part}: {', '.join(_keys(table))}" for part, table in tables.items()]
    rows = [
        [key, *(", ".join(str(table[key][name]) for name in _keys(table)) for table in tables.values())]
        for key in known_benchmarks()
        if all(key in table for table in tables.values())
    ]
    return _table(["benchmark", *titles], rows) if tables else ""


def bullets(lines: Any) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def _in_order() -> list[str]:
    """Methods by year, then by name."""
    return sorted(method_names(), key=lambda name: load_method(name).venue[-4:] + name)


def _quoted(text: str) -> str:
    """A text as YAML takes it whatever it holds."""
    return json.dumps(text, ensure_ascii=False)


def _parts(parts: Mapping[str, Any]) -> str:
    """Objects of a configuration in words."""
    words = []
    for role, value in parts.items():
        if isinstance(value, str):
            words.append(f"{role} `{value}`")
        for name, arguments in objects_in(value):
            plain = {key: value for key, value in arguments.items() if not isinstance(value, dict)}
            numbers = ", ".join(f"{key} {str(value).lower()}" for key, value in plain.items())
            words.append(f"{role} `{name}`{f' ({numbers})' if numbers else ''}")
    return ", ".join(words)


def _protocol_cell(name: str, keys: Sequence[str], write: Callable[..., str]) -> str:
    facts = load_method(name)
    assert not isinstance(facts.protocol, str)
    if facts.absent:
        common = {item.name: item.default for item in fields(Protocol)} | dict(facts.protocol[COMMON])
        return write(*(common[key] for key in keys)) if set(keys) <= facts.protocol[COMMON].keys() else "-"
    values: dict[str, list[str]] = {}
    for benchmark in known_benchmarks():
        protocol = protocol_of(name, benchmark)
        values.setdefault(write(*(getattr(protocol, key) for key in keys)), []).append(benchmark)
    usual, *others = sorted(values, key=lambda value: -len(values[value]))
    return "; ".join([usual, *(f"{value} on {', '.join(values[value])}" for value in others)])


def _keys(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Fields that differ between benchmarks."""
    return list(dict.fromkeys(key for benchmark, row in table.items() if benchmark != COMMON for key in row))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    CITATION.write_text(with_citations(CITATION.read_text(encoding="utf-8")), encoding="utf-8")
