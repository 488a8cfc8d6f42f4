"""``sclip report``: tables of runs, or a page. Imports neither torch nor Lightning unless a page is asked for."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sclip_lightning.errors import ConfigError
from sclip_lightning.records import load_records
from sclip_lightning.records.artefacts import RESULTS, RUN
from sclip_lightning.records.run import Run
from sclip_lightning.reports.comparison import tabulate
from sclip_lightning.reports.methods import method_table
from sclip_lightning.reports.results import Results, results_of
from sclip_lightning.reports.tables import FORMATS, TO_READ, remarks_below, render

#: The format that is written to a file; the others are printed.
HTML = "html"
#: Kinds of images that a page may show; a test holds them to those of ``reports.html``.
IMAGE_KINDS = ("worst", "median", "fixed", "differing", "all")

__all__ = ["in_short", "notes_once", "read_results", "read_run", "run_report"]


def run_report(arguments: Sequence[str]) -> None:
    """Run ``sclip report`` with the given arguments."""
    parser = argparse.ArgumentParser(
        prog="sclip report", description="Print the scores of runs, finished or not.", allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="The folder of a run.")
    parser.add_argument(
        "--format",
        choices=(*FORMATS, HTML),
        default="table",
        help="csv and json have all digits, as fractions; latex needs the package booktabs; html is a page with "
        "tables, confusions and a gallery, written into a file that a browser opens without server or network",
    )
    parser.add_argument("--per", choices=("run", "class", "image"), help="what a row is; run by default")
    parser.add_argument(
        "--table",
        choices=("runs", "methods"),
        default="runs",
        help="methods: a row for each name of a run's folder, a column for each benchmark; ways of evaluation that "
        "differ are marked",
    )
    parser.add_argument("--metric", help="the score in a table of methods (default mIoU)")
    page = parser.add_argument_group("--format html")
    page.add_argument("--output", metavar="FILE", help="the page to write (default report.html)")
    page.add_argument(
        "--images",
        metavar="KIND[,KIND]",
        help=f"images to show: {', '.join(IMAGE_KINDS)} or none (default worst,median,fixed, and differing where there "
        "are several runs); predictions are shown of runs that kept label maps (sclip test --predictions.labels true)",
    )
    page.add_argument("--show_images", type=int, metavar="N", help="images of each kind (default 8); all are all")
    page.add_argument(
        "--thumbnails",
        choices=("inside", "beside"),
        help="inside the page, which is then one file, or in a folder beside it, for thousands of images (default "
        "inside)",
    )
    page.add_argument(
        "--allow_modules",
        metavar="NAME[,NAME]",
        help="modules of data sets of your own, which configurations of the runs may name; their code is run",
    )
    options = parser.parse_args(arguments)
    _check(options)
    found = {name: read_results(Path(name).expanduser()) for name in _with_runs(options.runs)}
    short = dict(zip(in_short(list(found)), found.values(), strict=True))
    notes = notes_once({name: results.notes for name, results in short.items()})
    if options.format == HTML:
        _write_page(options, found, list(short), notes)
        return
    if options.table == "methods":
        if options.per is not None:
            raise ConfigError("A row of --table methods is a method: leave --per out.")
        spelled_out = options.format not in TO_READ
        rows, remarks = method_table(found, options.metric or "mIoU", spelled_out)
    else:
        if options.metric is not None:
            raise ConfigError("--metric is for --table methods: other tables have all scores. Leave it out.")
        rows, remarks = _rows(found, options.per or "run"), _differences(short)
    sys.stdout.write(render(rows, options.format) + "\n" + remarks_below([*remarks, *notes], options.format))


def _check(options: argparse.Namespace) -> None:
    """Refuse options that the format has no use for."""
    if options.format == HTML:
        if options.table == "methods" or options.per is not None or options.metric is not None:
            raise ConfigError("A page has all scores, classes and images: leave --table, --per and --metric out.")
        return
    for name in ("output", "images", "show_images", "thumbnails", "allow_modules"):
        if getattr(options, name) is not None:
            raise ConfigError(
                f"--{name} is for --format html: other formats are printed. Leave it out, or ask for html."
            )


def _write_page(
    options: argparse.Namespace, found: Mapping[str, Results], names: Sequence[str], notes: Sequence[str]
) -> None:
    several = ",differing" if len(found) > 1 else ""
    asked = (options.images or f"worst,median,fixed{several}").split(",")
    kinds = [] if asked == ["none"] else [kind.strip() for kind in asked]
    if unknown := [kind for kind in kinds if kind not in IMAGE_KINDS]:
        raise ConfigError(f"--images {unknown[0]} is none of {', '.join(IMAGE_KINDS)} and none.")
    number = 8 if options.show_images is None else options.show_images
    if number < 1:
        raise ConfigError(f"--show_images is {number}, but must be at least 1; --images none shows none.")
    from sclip_lightning.commands.parsing.html_report import write_html  # imports torch
    from sclip_lightning.reports.html import RunView

    views = []
    for (folder, results), name in zip(found.items(), names, strict=True):
        run = read_run(Path(folder).expanduser())
        records = load_records(Path(folder).expanduser()).of(run.ids)
        views.append(RunView(name, folder, run, records.images, results))
    target = Path(options.output or "report.html").expanduser()
    beside = options.thumbnails == "beside"
    lacking = write_html(views, target, kinds, number, beside, [*notes], options.allow_modules)
    for sentence in lacking:
        sys.stderr.write(f"Note: {sentence}\n")
    sys.stdout.write(f"Written to {target}; open it in a browser.\n")


def _rows(found: Mapping[str, Results], per: str) -> list[dict[str, Any]]:
    """The rows of a table of runs."""
    rows: list[dict[str, Any]] = []
    for name, results in found.items():
        folder = Path(name).expanduser()
        own = {"run": name} if per == "run" or len(found) > 1 else {}
        if per == "class":
            rows += [own | row for row in results.classes]
        elif per == "image":
            rows += [own | row for row in _image_rows(folder)]
        else:
            state = "finished" if (folder / RESULTS).is_file() else "unfinished"
            images = results.protocol["images"]
            shown = {"benchmark": results.benchmark, "images": images, "state": state}
            rows.append(own | shown | results.metrics | _seams(results))
    return rows


def _seams(results: Results) -> dict[str, float | None]:
    """Columns that a run without windows does not have."""
    seams = results.seams
    return {} if seams is None else {"seams": seams["share"], "seams elsewhere": seams["share_elsewhere"]}


def notes_once(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Every note once, with the names it holds for."""
    holders: dict[str, list[str]] = {}
    for name, own in notes.items():
        for note in dict.fromkeys(own):
            holders.setdefault(note, []).append(name)
    everyone = f"All {len(notes)} runs"
    return [
        f"{everyone if len(names) == len(notes) > 1 else ', '.join(names)}: {note}" for note, names in holders.items()
    ]


def _with_runs(names: Sequence[str]) -> list[str]:
    """Those of several paths that hold a run, with a note on the others: ``*/*`` finds other folders, too."""
    without = [name for name in names if (path := Path(name).expanduser()).exists() and not _holds_run(path)]
    if len(without) == len(names) or not without:
        return list(names)  # where none does, the first says why
    sys.stderr.write(f"Note: passed over, since there is no run in {', '.join(without)}.\n")
    return [name for name in names if name not in without]


def _holds_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (RUN, RESULTS))


def read_run(folder: Path) -> Run:
    """The description of a run.

    Raises:
        ConfigError: The folder holds none.
    """
    run = Run.load(folder) if folder.is_dir() else None
    if run is None:
        raise ConfigError(_no_run(folder, RUN))
    return run


def read_results(folder: Path) -> Results:
    """What a run reported, or what its records add up to so far.

    Raises:
        ConfigError: The folder holds no run.
    """
    results = Results.load(folder) if folder.is_dir() else None
    if results is not None:
        return results
    run = Run.load(folder) if folder.is_dir() else None
    if run is None:
        raise ConfigError(_no_run(folder, f"neither {RESULTS} nor {RUN}"))
    return results_of(run, load_records(folder))


def _no_run(folder: Path, lacking: str) -> str:
    if not folder.is_dir():
        state = "does not exist" if not folder.exists() else "is no folder"
    else:
        state = f"holds no run (no {lacking})" if lacking == RUN else f"holds no run ({lacking})"
    below = sorted({path.parent for name in (RUN, RESULTS) for path in folder.glob(f"**/{name}")})
    hint = f"Runs below it: {', '.join(map(str, below[:5]))}{', ...' if len(below) > 5 else ''}." if below else ""
    return f"{folder} {state}. Give the folder that sclip test or sclip score named as written to. {hint}".rstrip()


def _image_rows(folder: Path) -> list[dict[str, Any]]:
    run, records = read_run(folder), load_records(folder)
    records = records.of(run.ids)
    table = tabulate(records.images, len(run.classes), run.boundaries)
    places = {id_: index for index, id_ in enumerate(run.ids)}
    scores = table.image_scores()
    scored: list[dict[str, Any]] = [
        {"index": places[record.id], "image": record.id, "status": "scored"}
        | {name: float(values[i]) for name, values in scores.items()}
        | {"seconds": f"{record.seconds:.3f}"}
        for i, record in enumerate(records.images)
    ]
    skipped = [{"index": places[record.id], "image": record.id, "status": "skipped"} for record in records.skipped]
    return sorted([*scored, *skipped], key=lambda row: row["index"])


def _differences(found: Mapping[str, Results]) -> list[str]:
    """What the protocols of several runs differ in, one line per choice: of two in their order, of more by value."""
    protocols = {name: results.protocol for name, results in found.items()}
    entries = dict.fromkeys(entry for protocol in protocols.values() for entry in protocol if entry != "images")
    lines = []
    for entry in entries:
        runs_of: dict[str, list[str]] = {}
        for name, protocol in protocols.items():
            runs_of.setdefault(str(protocol.get(entry, "-")), []).append(name)
        if len(runs_of) > 1:
            choices = (f"{value} ({', '.join(names)})" for value, names in runs_of.items())
            lines.append(f"{entry}: {' / '.join(runs_of) if len(found) == 2 else '; '.join(choices)}")
    return lines


def in_short(names: Sequence[str]) -> list[str]:
    """Names of folders without what lies above them, where that tells them apart."""
    last = [Path(name).name for name in names]
    return last if len(set(last)) == len(names) and all(last) else list(names)
