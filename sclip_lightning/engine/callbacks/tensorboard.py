"""Showing an evaluation in TensorBoard."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from sclip_lightning.engine.context import run_context
from sclip_lightning.pictures.bars import MOST_BARS, draw_bars
from sclip_lightning.pictures.confusion import draw_confusion
from sclip_lightning.pictures.png import png_bytes
from sclip_lightning.records import sum_up
from sclip_lightning.records.artefacts import CONFIG
from sclip_lightning.records.confusions import largest_confusions
from sclip_lightning.reports.cells import fenced, markdown_cell
from sclip_lightning.reports.tensorboard import IMAGES, add_png, write_results

__all__ = ["TensorBoardReport", "write_confusions"]

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
        writer = trainer.logger.experiment
        config = context.folder / CONFIG
        if config.is_file():
            writer.add_text("config", fenced(config.read_text(encoding="utf-8"), "yaml"))
        classes = [row["class"] for row in context.results.classes]
        records = context.recording.all_records().images
        write_confusions(writer, sum_up(records, len(classes), ()).confusion, classes)
        write_results(writer, context.results, records)


def write_confusions(writer: SummaryWriter, confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> None:
    """Write the largest confusions as a table and as bars, and a picture of the matrix or of its most confused classes.

    Args:
        writer: Where to.
        confusion: [C, C] pixels, rows ground truth, columns prediction.
        classes: C names.
    """
    names = [markdown_cell(name) for name in classes]
    largest = largest_confusions(confusion, CONFUSIONS)
    rows = [
        f"| {i} | {names[one.target]} | {names[one.prediction]} | {one.pixels} | {100 * one.of_class:.1f} % "
        f"| {100 * one.of_errors:.1f} % |"
        for i, one in enumerate(largest, 1)
    ]
    head = "| | ground truth | predicted as | pixels | of the class | of all errors |\n|---|---|---|---|---|---|"
    writer.add_text("confusions", "\n".join([head, *rows]))
    bars = [(f"{classes[one.target]} as {classes[one.prediction]}", one.of_errors) for one in largest[:MOST_BARS]]
    title = "Largest confusions, in percent of all wrong pixels"
    add_png(writer, f"{IMAGES}/confusions", png_bytes(draw_bars(bars, title, 270, bars[0][1] if bars else 1)))
    add_png(writer, f"{IMAGES}/confusions_matrix", png_bytes(draw_confusion(confusion, classes)))
