"""``sclip board``: many runs in one table, a column for each protocol. Imports neither torch nor Lightning."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sclip_lightning.commands.report import in_short, read_results
from sclip_lightning.errors import ConfigError, RunError
from sclip_lightning.files import PARTIAL, write_text
from sclip_lightning.records import load_records
from sclip_lightning.records.artefacts import RESULTS, RUN
from sclip_lightning.records.run import Run
from sclip_lightning.reports.board import board, csv_board, markdown_board
from sclip_lightning.reports.results import Results, intervals_of

__all__ = ["find_runs", "run_board", "with_intervals"]

FORMATS = ("markdown", "csv", "html")


def run_board(arguments: Sequence[str]) -> None:
    """Run ``sclip board`` with the given arguments."""
    parser = argparse.ArgumentParser(
        prog="sclip board",
        description="Put many runs into one table: a row a run, a column for each benchmark and protocol, so that runs "
        "under different protocols never share one. Scores have their 95 % interval; figures that sclip reproduce held "
        "a run against have a row of their own and are marked as published. Needs folders of runs, or of results.json.",
        allow_abbrev=False,
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="A run's folder, or one with runs below it.")
    parser.add_argument(
        "--metric", nargs="+", default=["mIoU"], metavar="NAME", help="the scores to show (default mIoU)"
    )
    parser.add_argument("--format", choices=FORMATS, default="markdown", help="csv has all digits, a line per score")
    parser.add_argument("--output", metavar="FILE", help="write into this file, in the place of what is there")
    options = parser.parse_args(arguments)
    folders = find_runs([Path(folder).expanduser() for folder in options.folders])
    runs = {str(folder): with_intervals(read_results(folder), folder) for folder in folders}
    short = dict(zip(runs, in_short(list(runs)), strict=True))
    names = {folder: Path(folder).absolute().name for folder in runs}
    for folder, results in runs.items():  # two runs of one name on one benchmark are told apart by their paths
        same = [one for one in runs if names[one] == names[folder] and runs[one].benchmark == results.benchmark]
        names |= {one: short[one] for one in same if len(same) > 1}
    made = board(runs, names, options.metric)
    if options.format == "html":
        from sclip_lightning.reports.html.board import html_board

        text = html_board(made)
    else:
        text = markdown_board(made) if options.format == "markdown" else csv_board(made)
    if options.output is None:
        sys.stdout.write(text)
        return
    target = Path(options.output).expanduser()
    if target.is_dir():
        raise ConfigError(f"--output {target} is a folder. Give the name of a file.")
    write_text(target, text)
    sys.stdout.write(f"Written to {target}\n")


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Every run that is one of some folders or lies below them, each once.

    Raises:
        ConfigError: A folder is not there, or has no run in it.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        below = sorted(_runs_below(folder)) if folder.is_dir() else []
        if not below:
            state = "has no run in it" if folder.is_dir() else "is no folder" if folder.exists() else "is not there"
            msg = f"{folder} {state} (no {RESULTS}). Give folders that sclip test, ablate, score or reproduce wrote to."
            raise ConfigError(msg)
        found |= dict.fromkeys(below)
    return list(found)


def _runs_below(folder: Path) -> list[Path]:
    runs = []
    for place, names, files in os.walk(folder):
        if {RUN, RESULTS} & {*files}:
            runs.append(Path(place))
            names.clear()
        names[:] = [name for name in names if not name.startswith(PARTIAL)]
    return runs


def with_intervals(results: Results, folder: Path) -> Results:
    """Results with intervals; those of version 0.1 get them from the records, where these can be read."""
    if results.intervals:
        return results
    try:
        run = Run.load(folder)
        records = load_records(folder).of(run.ids) if run else None
    except RunError:  # the scores are there nevertheless; tables say what has no interval
        return results
    return results if run is None or records is None else replace(results, intervals=intervals_of(run, records))
