"""Showing an evaluation in TensorBoard."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from sclip_lightning.engine.context import run_context
from sclip_lightning.pictures.confusion import draw_confusion
from sclip_lightning.records import sum_up
from sclip_lightning.records.artefacts import CONFIG
from sclip_lightning.records.confusions import largest_confusions
from sclip_lightning.reports.cells import fenced, markdown_cell
from sclip_lightning.reports.results import Results

__all__ = ["TensorBoardReport", "write_confusions", "write_results"]

#: Headline scores in the order in which the Custom Scalars tab numbers them, from 1.
HEADLINE = ("mIoU", "aAcc", "mAcc", "mF1", "bF1@0.75pct", "bF1@3px")
#: Scores shown as curves over the classes; one tag each, so that the curves of several runs lie over each other.
CURVES = ("IoU", "precision", "recall", "F1", "bF1@0.75pct", "bF1@3px")
#: Rows of the table of confusions.
CONFUSIONS = 30


class TensorBoardReport(Callback):
    """Writes the results, the confusions and the configuration to the event file."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write on the first rank, unless an earlier session has written all."""
        context = run_context(pl_module)
        if context.reported_before or not context.is_first or not isinstance(trainer.logger, TensorBoardLogger):
            return
        assert context.folder is not None  # the logger's
        assert context.results is not None  # the test has ended
        config = context.folder / CONFIG
        if config.is_file():
            text = config.read_text(encoding="utf-8")
            trainer.logger.experiment.add_text("config", fenced(text, "yaml"))
        classes = [row["class"] for row in context.results.classes]
        records = context.recording.all_records().images
        write_confusions(trainer.logger, sum_up(records, len(classes), ()).confusion, classes)
        write_results(trainer.logger, context.results)


def write_results(logger: TensorBoardLogger, results: Results) -> None:
    """Write scores, per-class curves, protocol, environment, one HParams entry and the layout of custom scalars.

    A per-class curve has the class index as its step, the headline curve the number of the score. Tags are the same in
    every run, so selecting several runs overlays them.
    """
    writer = logger.experiment
    scores = {f"test/{name}": value for name, value in results.metrics.items() if _exists(value)}
    for name, value in results.performance.items():
        if isinstance(value, float):
            writer.add_scalar(f"performance/{name.replace(' ', '_')}", value)
    curves = [curve for curve in CURVES if any(_exists(row.get(curve)) for row in results.classes)]
    for curve in curves:
        for row in results.classes:
            if _exists(row[curve]):
                writer.add_scalar(f"per_class/{curve}", row[curve], global_step=row["index"])
    for number, name in enumerate(HEADLINE, 1):
        if _exists(results.metrics.get(name)):
            writer.add_scalar("headline", results.metrics[name], global_step=number)
    writer.add_custom_scalars(_layout(curves))
    writer.add_text("per_class", results.markdown())
    writer.add_text("protocol", _as_table(results.protocol))
    writer.add_text("environment", _as_table(results.environment | results.performance))
    # Writes the scalars as well. One entry only: TensorBoard ignores the names of metrics that come in a second one.
    choices = {name: value for name, value in results.protocol.items() if not name.endswith("sha256")}
    logger.log_hyperparams(choices, scores)
    writer.flush()


def write_confusions(logger: TensorBoardLogger, confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> None:
    """Write the largest confusions as a table, and a picture of the matrix or of its most confused classes.

    Args:
        logger: Where to.
        confusion: [C, C] pixels, rows ground truth, columns prediction.
        classes: C names.
    """
    names = [markdown_cell(name) for name in classes]
    rows = [
        f"| {i} | {names[one.target]} | {names[one.prediction]} | {one.pixels} | {100 * one.of_class:.1f} % "
        f"| {100 * one.of_errors:.1f} % |"
        for i, one in enumerate(largest_confusions(confusion, CONFUSIONS), 1)
    ]
    head = "| | ground truth | predicted as | pixels | of the class | of all errors |\n|---|---|---|---|---|---|"
    logger.experiment.add_text("confusions", "\n".join([head, *rows]))
    logger.experiment.add_image("confusions", draw_confusion(confusion, classes), dataformats="HWC")


def _layout(curves: list[str]) -> dict[str, dict[str, list[Any]]]:
    """Charts of the Custom Scalars tab.

    Margin charts, with bounds that are the curve itself: they are the only ones that TensorBoard never smooths, and a
    mean over neighbouring classes would mean nothing. It shows those of a category from the last to the first.
    """

    def chart(tag: str) -> list[Any]:
        return ["Margin", [tag, tag, tag]]

    steps = ", ".join(f"{number} {name}" for number, name in enumerate(HEADLINE, 1))
    return {
        "Scores": {steps: chart("headline")},
        "Per class (step: class index)": {curve: chart(f"per_class/{curve}") for curve in reversed(curves)},
    }


def _exists(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _as_table(entries: dict[str, Any]) -> str:
    rows = [f"| {markdown_cell(name)} | {markdown_cell(str(value))} |" for name, value in entries.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])
