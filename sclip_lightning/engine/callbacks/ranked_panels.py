"""Pictures of the images that were segmented worst, and of middling ones."""

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine.context import RunContext, run_context
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import replacing
from sclip_lightning.pictures.drawing import Array, draw_panel
from sclip_lightning.records.artefacts import RANKED_PANELS, image_file
from sclip_lightning.records.confusions import image_miou, rank

__all__ = ["RankedPanels"]


class RankedPanels(Callback):
    """Draws the images with the lowest mIoU of their own, and those around the median, at the end of a run.

    Only then is it known which these are, so they are segmented once more, on rank 0, and not counted again. Panels are
    written to ``ranked_panels/`` in the run's folder and shown in TensorBoard under ``worst/1``, ... and ``median/1``,
    ..., tags that are the same in every run although the images differ.

    Args:
        worst: Number of images with the lowest mIoU; 0 draws none.
        median: Number of images around the median; 0 draws none.

    Raises:
        ConfigError: A number is negative.
    """

    def __init__(self, worst: int = 3, median: int = 1) -> None:
        for name, number in (("worst", worst), ("median", median)):
            if number < 0:
                msg = f"--ranked_panels.{name} is {number}, but is a number of images: give 0 or more."
                raise ConfigError(msg)
        self.worst = worst
        self.median = median

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose, segment and draw on the first rank, unless an earlier session has."""
        context = run_context(pl_module)
        if context.reported_before or not context.is_first or context.folder is None:
            return
        if not self.worst + self.median:
            return
        records = context.recording.all_records().images
        places = {id_: index for index, id_ in enumerate(context.ids)}
        scores = {places[record.id]: image_miou(record.counts.confusion) for record in records}
        folder = context.folder / RANKED_PANELS
        for outdated in (*folder.glob("worst-*.png"), *folder.glob("median-*.png")):
            outdated.unlink()  # of the run before it grew
        for kind, chosen in zip(("worst", "median"), rank(scores, self.worst, self.median), strict=True):
            for number, index in enumerate(chosen, 1):
                sample = context.dataset[index]
                place = f"{kind} {number}" if kind == "worst" else kind
                title = (
                    f"{sample['id']}: mIoU of this image {100 * scores[index]:.2f} %, {place} of {len(scores)} images"
                )
                panel = _draw(context, sample, title)
                with replacing(folder / image_file(f"{kind}-{number}_{sample['id']}", ".png")) as path:
                    Image.fromarray(panel).save(path)
                if isinstance(trainer.logger, TensorBoardLogger):
                    trainer.logger.experiment.add_image(f"{kind}/{number}", panel, dataformats="HWC")


def _draw(context: RunContext, sample: Sample, title: str) -> Array:
    labels = context.segment(sample)
    return draw_panel(
        sample["rgb"].permute(1, 2, 0).numpy(),
        sample["mask"].numpy(),
        np.asarray(labels.cpu()),
        context.benchmark.palette,
        context.benchmark.classes,
        title=title,
    )
