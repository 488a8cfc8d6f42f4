"""``sclip ablate``: what each part of a configuration gains, in one go."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from sclip_lightning.commands.test import TestCLI, is_first, run_cli
from sclip_lightning.engine.callbacks import ResultWriter, TensorBoardReport
from sclip_lightning.engine.environment import reset_peak_memory
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.errors import RunError
from sclip_lightning.files import write_text
from sclip_lightning.model.ablation import Row, ablation_rows
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.records import load_records
from sclip_lightning.records.run import Run
from sclip_lightning.reports.comparison import Difference, paired_bootstrap, remark_on, tabulate
from sclip_lightning.reports.results import Results
from sclip_lightning.reports.tables import render

__all__ = ["AblationCLI", "run_ablate"]

#: Scores of the table.
METRICS = ("mIoU", "bF1@0.75pct", "bF1@3px")


class AblationCLI(TestCLI):
    """Runs ``sclip test`` once a row, each in a folder of its own below ``<name>-ablation``.

    Rows share the weights, the text embeddings and the decoded images. Each is an ordinary run: it can be resumed,
    reported, compared, and run again from its ``config.yaml``.
    """

    rows: list[Row]
    row: Row

    @staticmethod
    def reporting() -> list[Callback]:
        """Each row writes its results; what is printed is the table of all."""
        return [ResultWriter(), TensorBoardReport()]

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer for the current row; before the first, the rows are made."""
        if not hasattr(self, "rows"):
            self.options: SegmentorOptions = self.model.options
            self.rows = ablation_rows(self.options)
            self.row, self.parent = self.rows[0], f"{super().run_name()}-ablation"
        callbacks = self._get(self.config_init, "trainer").get("callbacks") or []
        return super().instantiate_trainer(callbacks=list(callbacks), **kwargs)  # which appends to the list

    def run_name(self) -> str:
        """The row's folder within the ablation's."""
        return f"{self.parent}/{self.row.folder}"

    def test(self, **kwargs: Any) -> None:
        """Run all rows and print the table."""
        first = self.model
        whole = self.config["test"].clone()
        self.datamodule.kept = {}
        folders = []
        for number, row in enumerate(self.rows, start=1):
            self.row = row
            if is_first():
                print(f"\n[{number}/{len(self.rows)}] {row.name}", flush=True)  # noqa: T201  progress
            self.config["test"] = whole.clone()
            self.config["test"]["name"] = self.run_name()
            for option, value in row.changes.items():
                self.config["test"]["model"][option.replace(".", ".init_args.")] = value
            self.model = SegmentationModule(**vars(row.apply(self.options)))
            self.model.clip, self.model.texts = first.clip, first.texts
            self.trainer = self.instantiate_trainer()
            reset_peak_memory(self.trainer.strategy.root_device)
            self.evaluate(**(kwargs | {"model": self.model}))
            first = self.model
            folders.append(self.model.context.recording.folder)
        if is_first():
            self._report(folders)

    def _report(self, folders: list[Path]) -> None:
        rows, remarks = summarise([row.name for row in self.rows], folders)
        parent, remark = folders[0].parent, "".join(f"\n{remark}\n" for remark in remarks)
        write_text(parent / "ablation.md", f"{render(for_reading(rows), 'markdown')}\n{remark}")
        write_text(parent / "ablation.csv", render(rows, "csv") + "\n")
        write_text(parent / "ablation.json", render(rows, "json") + "\n")
        images = rows[0]["images"]
        print(  # noqa: T201  the table is what the command is for
            f"\n{self.data.benchmark.name}, {images} images\n\n{render(for_reading(rows), 'table')}\n\n"
            "In brackets: the difference to the baseline, and its 95 % interval (paired bootstrap over images).\n"
            f"Peak memory is that of the whole process, with the weights.\n{remark}\nWritten to {parent}"
        )


def summarise(names: Sequence[str], folders: Sequence[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """What an ablation found, over the images that all rows have scored.

    Args:
        names: Names of the rows, one of them ``baseline``.
        folders: Folders of their finished runs.

    Returns:
        One entry per row: scores, their difference to the baseline with its interval, speed and memory; and what a
        reader must know.

    Raises:
        RunError: No image was scored in all rows.
    """
    runs = [_run(folder) for folder in folders]
    all_records = [load_records(folder).of(run.ids) for folder, run in zip(folders, runs, strict=True)]
    common = set.intersection(*({record.id for record in records.images} for records in all_records))
    ids = [id_ for id_ in runs[0].ids if id_ in common]
    if not ids:
        msg = f"The rows below {folders[0].parent} have scored no image in common. Evaluate again with --overwrite."
        raise RunError(msg)
    chosen = [records.of(ids).images for records in all_records]
    tables = [tabulate(one, len(run.classes), run.boundaries) for one, run in zip(chosen, runs, strict=True)]
    baseline = tables[list(names).index("baseline")]
    rows, differences = [], list[Difference]()
    for name, folder, images, table in zip(names, folders, chosen, tables, strict=True):
        entry: dict[str, Any] = {"": name, "images": len(ids)}
        for difference in paired_bootstrap(baseline, table):
            if difference.metric in METRICS:
                differences.append(difference)
                gain = difference.b - difference.a
                bounds = {"gain": gain, "low": difference.low, "high": difference.high}
                entry[difference.metric] = difference.b
                entry |= {f"{difference.metric} {key}": value for key, value in bounds.items()}
        entry["seconds per image"] = sum(record.seconds for record in images) / len(images)
        entry["peak memory GiB"] = _peak_memory(folder)
        rows.append(entry)
    remark = remark_on(differences)
    return rows, [remark] if remark else []


def for_reading(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows with a score, its gain and its interval in one cell, as percent."""
    readable = []
    for row in rows:
        entry = {"": row[""]}
        for metric in METRICS:
            if metric in row:
                gain, low, high = (100 * row[f"{metric} {key}"] for key in ("gain", "low", "high"))
                interval = "" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]"
                gained = "" if row[""] == "baseline" else f" ({gain:+.2f}{interval})"
                entry[metric] = f"{100 * row[metric]:.2f}{gained}"
        entry["s/image"] = f"{row['seconds per image']:.3f}"
        entry["peak GiB"] = f"{row['peak memory GiB']:.2f}"
        readable.append(entry)
    return readable


def run_ablate(arguments: Sequence[str]) -> None:
    """Run ``sclip ablate`` with the given arguments, those of ``sclip test``."""
    run_cli(AblationCLI, arguments)


def _run(folder: Path) -> Run:
    run = Run.load(folder)
    assert run is not None  # it has just ended
    return run


def _peak_memory(folder: Path) -> float:
    results = Results.load(folder)
    assert results is not None
    return float(results.performance["peak memory GiB"])
