"""Pictures of the images that were segmented worst, and of middling ones."""

import numpy as np
import numpy.typing as npt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine.callbacks.kept_labels import KeptLabels, delete_handed, handed_file, read_handed
from sclip_lightning.engine.context import ImageOutput, RunContext, run_context
from sclip_lightning.errors import ConfigError
from sclip_lightning.pictures.drawing import Array, draw_panel
from sclip_lightning.pictures.png import write_png
from sclip_lightning.records import ImageCounts
from sclip_lightning.records.artefacts import RANKED_PANELS, image_file
from sclip_lightning.records.confusions import image_miou, rank
from sclip_lightning.reports.tensorboard import IMAGES, add_png

__all__ = ["RankedPanels"]


class RankedPanels(Callback):
    """Draws the images with the lowest mIoU of their own, and those around the median, at the end of a run.

    Only then is it known which these are. While images are being scored, each process keeps the labels of those that
    may be among them, and all but the first leave theirs in a file for the first, which draws. Images of earlier
    sessions are segmented once more and not counted again. Panels are written to ``ranked_panels/`` in the run's folder
    and shown in TensorBoard under ``images/worst/1``, ... and ``images/median/1``, ..., tags that are the same in every
    run although the images differ.

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
        self._kept = KeptLabels(worst)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the labels of the run before, and those that a session left which did not come to its end."""
        self._kept = KeptLabels(self.worst)
        context = run_context(pl_module)
        if context.is_first and context.folder is not None:
            delete_handed(context.folder / RANKED_PANELS)
        if context.folder is not None and self.worst + self.median:
            context.each_image.append(self._keep)

    def _keep(self, sample: Sample, output: ImageOutput, counts: ImageCounts) -> None:
        """Keep labels that may be needed at the end."""
        self._kept.add(sample["index"], image_miou(counts.confusion), output.labels.cpu().numpy())

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand the labels to the first rank, which does not go on before this one has said that it is done."""
        context = run_context(pl_module)
        context.behind.wait()
        if not context.is_first and context.folder is not None:
            self._kept.save(handed_file(context.folder / RANKED_PANELS, context.ranks.rank))

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
        chosen_of = dict(zip(("worst", "median"), rank(scores, self.worst, self.median), strict=True))
        handed = read_handed(folder, {index for chosen in chosen_of.values() for index in chosen})
        delete_handed(folder)
        for kind, chosen in chosen_of.items():
            for number, index in enumerate(chosen, 1):
                sample = context.dataset[index]
                place = f"{kind} {number}" if kind == "worst" else kind
                title = (
                    f"{sample['id']}\nmIoU of this image {100 * scores[index]:.2f} %, {place} of {len(scores)} images"
                )
                labels = handed.get(index, self._kept.of(index))
                if labels is None:
                    labels = context.segment(sample).cpu().numpy()
                panel = _draw(context, sample, labels, title)
                content = write_png(folder / image_file(f"{kind}-{number}_{sample['id']}", ".png"), panel)
                if isinstance(trainer.logger, TensorBoardLogger):
                    add_png(trainer.logger.experiment, f"{IMAGES}/{kind}/{number}", content)


def _draw(context: RunContext, sample: Sample, labels: npt.NDArray[np.int64], title: str) -> Array:
    return draw_panel(
        sample["rgb"].permute(1, 2, 0).numpy(),
        sample["mask"].numpy(),
        labels,
        context.benchmark.palette,
        context.benchmark.classes,
        title=title,
    )
