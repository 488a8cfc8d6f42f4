"""``sclip compare``: two runs, image by image. Imports neither torch nor Lightning unless panels are asked for."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sclip_lightning.commands.report import in_short, read_run
from sclip_lightning.errors import ConfigError, counted
from sclip_lightning.records import Records, load_records
from sclip_lightning.records.artefacts import LABELS, image_file
from sclip_lightning.records.run import Run
from sclip_lightning.reports.comparison import (
    Difference,
    class_changes,
    image_changes,
    paired_bootstrap,
    remark_on,
    tabulate,
)
from sclip_lightning.reports.tables import FORMATS, TO_READ, Format, Points, heading, remarks_below, render

__all__ = ["run_compare"]

#: How label maps come about, for whoever wants panels.
KEEP_LABELS = (
    "sclip test with --predictions.labels true. Given again with it, the command of a finished run makes the maps that "
    "are missing and leaves the scores as they are."
)


def run_compare(arguments: Sequence[str]) -> None:
    """Run ``sclip compare`` with the given arguments."""
    parser = argparse.ArgumentParser(
        prog="sclip compare",
        description="Compare two runs of one benchmark on the images that both have scored.",
        epilog=f"To see images of both runs beside each other with --panels, keep their label maps: {KEEP_LABELS}",
        allow_abbrev=False,
    )
    parser.add_argument("a", metavar="A", help="The folder of a run.")
    parser.add_argument("b", metavar="B", help="The folder of another; differences are B - A, in percentage points.")
    parser.add_argument("--metric", default="mIoU", help="the score that orders the images (default mIoU)")
    parser.add_argument(
        "--show_images", type=int, default=10, help="how many of the images that changed most (default 10)"
    )
    parser.add_argument(
        "--show_classes", type=int, default=10, help="how many of the classes that changed most (default 10)"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (default 0)")
    parser.add_argument(
        "--panels",
        metavar="DIR",
        help="draw both runs beside the ground truth for the images listed, as DIR/<image>.png; both runs must have "
        "kept label maps (sclip test --predictions.labels true)",
    )
    parser.add_argument(
        "--allow_modules",
        metavar="NAME[,NAME]",
        help="for --panels: modules of data sets of your own, which the configuration may name; their code is run",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="csv and json have all digits, as fractions")
    options = parser.parse_args(arguments)
    for name, minimum in (("show_images", 0), ("show_classes", 0), ("resamples", 1)):
        if getattr(options, name) < minimum:
            raise ConfigError(f"--{name} is {getattr(options, name)}, but must be at least {minimum}.")

    folders = Path(options.a).expanduser(), Path(options.b).expanduser()
    runs = read_run(folders[0]), read_run(folders[1])
    a, b, remarks = _common(folders, runs)
    first, boundaries = runs[0], [name for name in runs[0].boundaries if name in runs[1].boundaries]
    tables = [tabulate(records.images, len(first.classes), boundaries) for records in (a, b)]
    metrics = list(tables[0].scores())
    if options.metric not in metrics:
        raise ConfigError(f"--metric {options.metric} is none of the scores of these runs: {', '.join(metrics)}.")
    differences = paired_bootstrap(tables[0], tables[1], options.resamples, options.seed)
    classes = class_changes(tables[0], tables[1], first.classes)[: options.show_classes]
    images = image_changes(tables[0], tables[1], options.metric)[: options.show_images]
    names = in_short([options.a, options.b])
    sections = {
        f"Scores over {counted(len(a.images), 'image', 'images')}, with the 95 % interval of the difference": [
            _row("score", difference.metric, difference) for difference in differences
        ],
        "Classes whose IoU changed most": [_row("class", change.name, change) for change in classes],
        f"Images whose {options.metric} changed most": [_row("image", change.id, change) for change in images],
    }
    if few := remark_on(differences):
        remarks.append(few)
    if options.panels is None and images and options.format != "latex":
        remarks.append(_how_to_see(folders, images[0].id))
    _write(sections, options.format, names, (options.a, options.b), remarks)
    if options.panels is not None:
        from sclip_lightning.commands.parsing.compare_panels import write_panels  # imports torch

        target = Path(options.panels).expanduser()
        written = write_panels(folders, [change.id for change in images], target, options.allow_modules)
        if options.format == "table":
            upper, lower = names
            panels = counted(written, "panel", "panels")
            sys.stdout.write(f"\n{panels} written to {options.panels}, {upper} above {lower}\n")


def _common(folders: tuple[Path, Path], runs: tuple[Run, Run]) -> tuple[Records, Records, list[str]]:
    """The records of the images that both runs have scored, and what a reader must know."""
    a, b = runs
    if a.benchmark != b.benchmark or a.classes != b.classes:
        msg = (
            f"{folders[0]} is a run of {a.benchmark} ({len(a.classes)} classes), {folders[1]} one of {b.benchmark} "
            f"({len(b.classes)}): their scores cannot be compared. Give two runs of one benchmark."
        )
        raise ConfigError(msg)
    records = [load_records(folder).of(run.ids) for folder, run in zip(folders, runs, strict=True)]
    scored = [{record.id for record in one.images} for one in records]
    common = scored[0] & scored[1]
    both = [id_ for id_ in a.ids if id_ in common]
    if not both:
        msg = (
            f"{folders[0]} has scored {len(scored[0])} images, {folders[1]} {len(scored[1])}, and none of them are the "
            "same. Give two runs on the same images."
        )
        raise ConfigError(msg)
    remarks = []
    if scored[0] != scored[1]:
        first, second = in_short([str(folder) for folder in folders])
        remarks.append(
            f"Compared on the {counted(len(both), 'image', 'images')} that both runs have scored: "
            f"{len(scored[0] - scored[1])} of {first} and {len(scored[1] - scored[0])} of {second} are left out."
        )
    names = dict.fromkeys([*a.protocol, *b.protocol])
    for name in names:
        if a.protocol.get(name) != b.protocol.get(name):
            remarks.append(f"{name}: {a.protocol.get(name, '-')} / {b.protocol.get(name, '-')}")
    return records[0].of(both), records[1].of(both), remarks


def _how_to_see(folders: tuple[Path, Path], image: str) -> str:
    """How the images that changed come before one's eyes, said before label maps are missed."""
    lacking = [str(folder) for folder in folders if not (folder / LABELS / image_file(image, ".png")).is_file()]
    if not lacking:
        return "To see these images beside the ground truth, add --panels FOLDER."
    return (
        "To see these images beside the ground truth (--panels FOLDER), both runs must have kept label maps, which "
        f"{' and '.join(lacking)} {'have' if lacking[1:] else 'has'} not: {KEEP_LABELS}"
    )


def _row(kind: str, name: str, change: Any) -> dict[str, Any]:
    row: dict[str, Any] = {kind: name, "A": change.a, "B": change.b, "B - A": Points(change.b - change.a)}
    if isinstance(change, Difference):
        row |= {"from": Points(change.low), "to": Points(change.high)}
    return row


def _write(
    sections: dict[str, list[dict[str, Any]]],
    format_: Format,
    names: Sequence[str],
    folders: tuple[str, str],
    remarks: Sequence[str],
) -> None:
    """Write all tables; to read, columns have the runs' names, for programs those that are always the same."""
    if format_ not in TO_READ:
        rows = [
            {"kind": kind, "name": name} | dict(list(row.items())[1:]) | {"run A": folders[0], "run B": folders[1]}
            for section in sections.values()
            for row in section
            for kind, name in [next(iter(row.items()))]
        ]
        sys.stdout.write(render(rows, format_) + "\n")
        return
    columns = {"A": f"A: {names[0]}", "B": f"B: {names[1]}"}
    legend = f"A is {folders[0]}, B is {folders[1]}; differences are B - A, in percentage points."
    sys.stdout.write(remarks_below([legend], format_).lstrip("\n") + "\n")
    for title, rows in sections.items():
        if rows:
            named = [{columns.get(name, name): value for name, value in row.items()} for row in rows]
            sys.stdout.write(f"{heading(title, format_)}\n\n{render(named, format_)}\n\n")
    sys.stdout.write(remarks_below(remarks, format_).lstrip("\n"))
