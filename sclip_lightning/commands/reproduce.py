"""``sclip reproduce``: published rows run again, each by ``sclip test`` in a process of its own."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from sclip_lightning.commands.help import SHORT_HELP
from sclip_lightning.commands.options import check_names
from sclip_lightning.errors import ConfigError, RunError, counted
from sclip_lightning.records.run_folder import check_place, run_folder
from sclip_lightning.reports.results import Results
from sclip_lightning.reproducing.asked import Asked, parse_asked
from sclip_lightning.reproducing.parcel import pack
from sclip_lightning.reproducing.process import run_sclip
from sclip_lightning.reproducing.rows import Row, every_row, rows_of
from sclip_lightning.reproducing.summary import Outcome, conclusion, in_short, table_of, targets
from sclip_lightning.reproducing.verdicts import held_against

__all__ = ["PARCELS", "run_reproduce"]

#: Folder beside those of the benchmarks, with what can be sent of each run.
PARCELS = "reproduced"


def run_reproduce(arguments: Sequence[str]) -> None:
    """Run ``sclip reproduce`` with the given arguments.

    Raises:
        ConfigError: There is no such row, or something is missing for one that was asked for by name.
        RunError: A row failed, was left out, or came to other figures than published; all of it is printed by then.
    """
    asked = parse_asked(arguments)
    if asked.help:  # every option was asked for
        sys.stdout.write(f"{SHORT_HELP['reproduce']}\nEvery option of sclip test: sclip test --help.all\n")
        sys.exit(0)
    rows = _rows(asked)
    check_names("test", asked.given)
    for row in rows:
        check_place(asked.output_dir, row.benchmark, row.name)
    images, lacking = _look(rows, asked)
    if asked.check:
        return
    if len(lacking) == len(rows) or (lacking and asked.methods and asked.benchmarks):
        raise ConfigError("Nothing was run, since what is named above is missing. Get it, and give the command again.")
    outcomes = [Outcome(row, failure="left out: something is missing") for row in rows if str(row) in lacking]
    outcomes += _run_all([row for row in rows if str(row) not in lacking], images, asked)
    _say("", conclusion(outcomes))
    bad = [str(outcome.row) for outcome in outcomes if not outcome.holds]
    if bad:
        raise RunError(f"{counted(len(bad), 'row is', 'rows are')} not reproduced: {', '.join(bad)}. See above why.")


def _rows(asked: Asked) -> list[Row]:
    if not asked.every:
        return [row for name in dict.fromkeys(asked.methods) for row in rows_of(name, asked.benchmarks, asked.titles)]
    if asked.titles:
        raise ConfigError("--figures chooses among the lists of one method: name it, or leave --figures out.")
    rows = [row for row in every_row() if row.benchmark in asked.benchmarks or not asked.benchmarks]
    if not rows:
        raise ConfigError(f"No method has figures on {', '.join(asked.benchmarks)} that a run can be held against.")
    return rows


def _look(rows: Sequence[Row], asked: Asked) -> tuple[dict[str, int], set[str]]:
    """Say what there is to do, what is missing for it and what will be fetched first.

    Returns:
        Number of images by row, and the rows that lack something; both by the rows' names with their benchmark.
    """
    from sclip_lightning.commands.parsing.needs import needs_of  # imports torch

    images: dict[str, int] = {}
    missing: dict[str, list[Row]] = {}
    fetched: dict[str, list[Row]] = {}
    for row in rows:
        needs = needs_of([*row.arguments, *asked.given])
        images[str(row)] = needs.images
        for found, sentences in ((missing, needs.missing), (fetched, needs.fetched)):
            for sentence in sentences:
                found.setdefault(sentence, []).append(row)
    lacking = {str(row) for several in missing.values() for row in several}
    number = sum(count for name, count in images.items() if name not in lacking)
    ready = len(rows) - len(lacking)
    _say(f"{counted(len(rows), 'row', 'rows')}, {ready} of them ready to run ({counted(number, 'image', 'images')}):")
    _say(*(f"  {row}: {targets(row)}" for row in rows))
    for title, found in (("Will be fetched first", fetched), ("Missing", missing)):
        if found:
            _say("", f"{title}:", *(f"  {what}\n    for {in_short(several)}" for what, several in found.items()))
    return images, lacking


def _run_all(rows: Sequence[Row], images: dict[str, int], asked: Asked) -> list[Outcome]:
    outcomes: list[Outcome] = []
    seconds, done = 0.0, 0
    for number, row in enumerate(rows, start=1):
        command = ["test", *row.arguments, *asked.given, f"--name={row.name}", f"--output_dir={asked.output_dir}"]
        _say("", f"[{number}/{len(rows)}] {row}: sclip {' '.join(command)}")
        outcomes.append(_outcome(row, run_sclip(command), asked))
        results = Results.load(run_folder(asked.output_dir, row.benchmark, row.name))
        speed = results.performance.get("images per second") if results and not outcomes[-1].failure else None
        if speed:
            seconds, done = seconds + images[str(row)] / speed, done + images[str(row)]
        if rows[1:]:  # else the conclusion has the same table
            _say("", table_of(outcomes[-1:]))
        left = sum(images[str(one)] for one in rows[number:])
        if left and done:
            minutes = max(seconds / done * left / 60, 1)
            span = f"{minutes / 60:.0f} hours" if minutes >= 90 else counted(round(minutes), "minute", "minutes")
            _say(f"About {span} to go for {left} images, if they take as long as those so far.")
    return outcomes


def _outcome(row: Row, code: int, asked: Asked) -> Outcome:
    """What a run came to; what can be sent of it is put together."""
    from sclip_lightning.commands.parsing.benchmarks import published_benchmarks

    if code:
        return Outcome(row, failure=f"failed: sclip test ended with {code} and says above why")
    folder = run_folder(asked.output_dir, row.benchmark, row.name)
    results = Results.load(folder)
    if results is None:
        return Outcome(row, failure=f"failed: there are no results in {folder}")
    published = {benchmark.name: benchmark.images for benchmark in published_benchmarks()}
    figures = held_against(row, results, published[row.benchmark], asked.given)
    parcel = folder.parents[1] / PARCELS / row.benchmark / row.name
    pack(folder, replace(results, published=figures), parcel)
    return Outcome(row, figures, parcel=parcel)


def _say(*lines: str) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201  what the command is for, in order with what the runs print
