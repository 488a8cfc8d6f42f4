"""Showing an evaluation in TensorBoard."""

import math
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from sclip_lightning.report import Results

__all__ = ["TensorBoardReport", "write_results"]

#: Scores shown as curves over the classes; one tag each, so that the curves of several runs lie over each other.
CURVES = ("IoU", "F1", "bF1@0.75pct")


class TensorBoardReport(Callback):
    """Writes the results and the configuration to the event file."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write on the first rank, unless an earlier session has written all."""
        folder = trainer.log_dir  # a broadcast: every rank must ask
        if pl_module.reported_before or not trainer.is_global_zero or not isinstance(trainer.logger, TensorBoardLogger):
            return
        config = Path(folder or "") / "config.yaml"
        if config.is_file():
            text = f"```yaml\n{config.read_text(encoding='utf-8')}\n```"
            trainer.logger.experiment.add_text("config", text)
        write_results(trainer.logger, pl_module.results)  # type: ignore[arg-type]


def write_results(logger: TensorBoardLogger, results: Results) -> None:
    """Write scores, per-class curves, protocol, environment and one HParams entry.

    A per-class curve has the class index as its step. Tags are the same in every run, so selecting several runs
    overlays them.
    """
    writer = logger.experiment
    scores = {name: value for name, value in results.metrics.items() if value is not None and math.isfinite(value)}
    for name, value in scores.items():
        writer.add_scalar(f"test/{name}", value)
    for name, value in results.performance.items():
        if isinstance(value, float):
            writer.add_scalar(f"performance/{name.replace(' ', '_')}", value)
    for curve in CURVES:
        for row in results.classes:
            if math.isfinite(row.get(curve, math.nan)):
                writer.add_scalar(f"per_class/{curve}", row[curve], global_step=row["index"])
    writer.add_text("per_class", results.markdown())
    writer.add_text("protocol", _as_table(results.protocol))
    writer.add_text("environment", _as_table(results.environment | results.performance))
    # One entry only, with its scores: TensorBoard ignores the names of metrics that come in a second one.
    logger.log_hyperparams(results.protocol, {f"hp/{name}": value for name, value in scores.items()})
    writer.flush()


def _as_table(entries: dict[str, Any]) -> str:
    rows = [f"| {name} | {value} |" for name, value in entries.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])
