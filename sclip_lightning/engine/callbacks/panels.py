"""Pictures of a few images: what was there, what was found, what went wrong."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine.callbacks.image_files import ImageFiles
from sclip_lightning.engine.context import ImageOutput, run_context
from sclip_lightning.errors import ConfigError
from sclip_lightning.pictures.drawing import draw_panel
from sclip_lightning.pictures.png import write_png
from sclip_lightning.records import ImageCounts
from sclip_lightning.records.artefacts import PANELS, image_file
from sclip_lightning.reports.tensorboard import IMAGES, add_png

__all__ = ["SamplePanels"]


class SamplePanels(ImageFiles):
    """Draws image, ground truth, prediction and errors side by side, for the same images in every run.

    Panels are written to ``panels/<id>.png`` in the run's folder and shown in TensorBoard under
    ``images/samples/<id>``.

    Args:
        ids: Ids of the images to draw; null takes ``count`` images spread evenly over the data set.
        count: How many, where ``ids`` is null; 0 draws none.

    Raises:
        ConfigError: An id that the data set does not have, once the data set is known.
    """

    def __init__(self, ids: list[str] | None = None, count: int = 8) -> None:
        self.ids = ids
        self.count = count
        self._chosen: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the images."""
        super().setup(trainer, pl_module, stage)
        context = run_context(pl_module)
        known = context.ids
        if self.ids is not None:
            unknown = sorted(set(self.ids) - set(known))
            if unknown:
                msg = (
                    f"--panels.ids names images that are not in the data set: {', '.join(unknown[:5])}. Its "
                    f"{len(known)} ids look like {known[0]!r}."
                )
                raise ConfigError(msg)
            self._chosen = self.ids
        else:
            count = min(self.count, len(known))
            self._chosen = [known[i * len(known) // count] for i in range(count)]
        self._benchmark = context.benchmark
        if self.folder is not None:
            context.each_image.append(self._draw)

    def _draw(self, sample: Sample, output: ImageOutput, counts: ImageCounts) -> None:
        """Draw an image that was chosen, on whichever rank has it."""
        del counts
        if sample["id"] in self._chosen:
            panel = draw_panel(
                sample["rgb"].permute(1, 2, 0).cpu().numpy(),
                sample["mask"].cpu().numpy(),
                output.labels.cpu().numpy(),
                self._benchmark.palette,
                self._benchmark.classes,
            )
            write_png(self._file(sample["id"]), panel)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the panels of all ranks, on the first, unless an earlier session has."""
        context = run_context(pl_module)
        if context.reported_before or self.folder is None:
            return
        if context.is_first and isinstance(trainer.logger, TensorBoardLogger):
            for id_ in self._chosen:
                if self._file(id_).is_file():
                    add_png(trainer.logger.experiment, f"{IMAGES}/samples/{id_}", self._file(id_).read_bytes())

    def wanted(self, id_: str) -> list[Path]:
        """The panel, if the image was chosen."""
        return [self._file(id_)] if id_ in self._chosen else []

    def _file(self, id_: str) -> Path:
        assert self.folder is not None
        return self.folder / PANELS / image_file(id_, ".png")
