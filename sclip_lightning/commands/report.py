"""``sclip report``: tables of runs. Imports neither torch nor Lightning."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sclip_lightning.errors import ConfigError
from sclip_lightning.records import load_records
from sclip_lightning.records.artefacts import RESULTS, RUN
from sclip_lightning.records.run import Run
from sclip_lightning.reports.comparison import tabulate
from sclip_lightning.reports.results import Results, results_of
from sclip_lightning.reports.tables import FORMATS, render

__all__ = ["read_results", "read_run", "run_report"]


def run_report(arguments: Sequence[str]) -> None:
    """Run ``sclip report`` with the given arguments."""
    parser = argparse.ArgumentParser(
        prog="sclip report", description="Print the scores of runs, finished or not.", allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="The folder of a run.")
    parser.add_argument("--format", choices=FORMATS, default="table", help="csv and json have all digits, as fractions")
    parser.add_argument("--per", choices=("run", "class", "image"), default="run", help="what a row is; run by default")
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    found = {}
    for name in _with_runs(options.runs):
        folder = Path(name).expanduser()
        found[name] = results = read_results(folder)
        own = {"run": name} if options.per == "run" or len(options.runs) > 1 else {}
        if options.per == "class":
            rows += [own | row for row in results.classes]
        elif options.per == "image":
            rows += [own | row for row in _image_rows(folder)]
        else:
            state = "finished" if (folder / RESULTS).is_file() else "unfinished"
            images = results.protocol["images"]
            rows.append(own | {"benchmark": results.benchmark, "images": images, "state": state} | results.metrics)
    sys.stdout.write(render(rows, options.format) + "\n")
    if options.format in ("table", "markdown"):
        remarks = _differences(found) + [f"{name}: {note}" for name, results in found.items() for note in results.notes]
        sys.stdout.write("".join(f"\n{remark}\n" for remark in dict.fromkeys(remarks)))


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


def _differences(found: dict[str, Results]) -> list[str]:
    """What the protocols of several runs differ in, one line per choice."""
    protocols = [results.protocol for results in found.values()]
    names = dict.fromkeys(name for protocol in protocols for name in protocol)
    values = {name: [str(protocol.get(name, "-")) for protocol in protocols] for name in names if name != "images"}
    return [f"{name}: {' / '.join(choices)}" for name, choices in values.items() if len(set(choices)) > 1]
