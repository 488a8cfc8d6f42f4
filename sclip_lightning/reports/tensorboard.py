"""Results in TensorBoard. Imports torch, whose writer it is, and no Lightning."""

import math
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from sclip_lightning.reports.cells import markdown_cell
from sclip_lightning.reports.results import Results

__all__ = ["HEADLINE", "write_results"]

#: Headline scores in the order in which the Custom Scalars tab numbers them, from 1.
HEADLINE = ("mIoU", "aAcc", "mAcc", "mF1", "bF1@0.75pct", "bF1@3px")
#: Scores shown as curves over the classes; one tag each, so that the curves of several runs lie over each other.
CURVES = ("IoU", "precision", "recall", "F1", "bF1@0.75pct", "bF1@3px")


def write_results(writer: SummaryWriter, results: Results) -> None:
    """Write scores, per-class curves, protocol, environment, one HParams entry and the layout of custom scalars.

    A per-class curve has the class index as its step, the headline curve the number of the score. Tags are the same in
    every run, so selecting several runs overlays them.
    """
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
    for tag, score in scores.items():
        writer.add_scalar(tag, score)
    # One entry only: TensorBoard ignores the names of metrics that come in a second one. add_hparams would write it
    # into a folder of its own, where it is a run beside this one.
    file = writer._get_file_writer()
    for summary in hparams(_hyperparameters(results), scores):
        file.add_summary(summary)
    writer.flush()


def _hyperparameters(results: Results) -> dict[str, Any]:
    """The protocol as TensorBoard takes it: one value per choice, without checksums."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in results.protocol.items()
        if not name.endswith("sha256")
    }


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
