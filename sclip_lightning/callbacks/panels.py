"""Pictures of a few images: what was there, what was found, what went wrong."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from sclip_lightning.data.dataset import Sample
from sclip_lightning.drawing import draw_panel
from sclip_lightning.errors import ConfigError

__all__ = ["SamplePanels"]


class SamplePanels(Callback):
    """Draws image, ground truth, prediction and errors side by side, for the same images in every run.

    Panels are written to ``panels/<id>.png`` in the run's folder and shown in TensorBoard under ``samples/<id>``.

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
        self._folder: Path | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the images."""
        log_dir = trainer.log_dir  # a broadcast: every rank must ask
        self._folder = Path(log_dir) / "panels" if trainer.logger is not None and log_dir is not None else None
        known = [files.id for files in trainer.datamodule.dataset.files]  # type: ignore[attr-defined]
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

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: list[Sample],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the chosen images of this batch, on whichever rank has them."""
        if self._folder is None:
            return
        benchmark = trainer.datamodule.benchmark  # type: ignore[attr-defined]
        for sample in batch:
            if sample["id"] in self._chosen and sample["id"] in outputs:
                panel = draw_panel(
                    sample["rgb"].permute(1, 2, 0).cpu().numpy(),
                    sample["mask"].cpu().numpy(),
                    outputs[sample["id"]].cpu().numpy(),
                    benchmark.palette,
                    benchmark.classes,
                )
                self._folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(panel).save(self._file(sample["id"]))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the panels of all ranks, on the first."""
        if trainer.is_global_zero and isinstance(trainer.logger, TensorBoardLogger):
            for id_ in self._chosen:
                if self._file(id_).is_file():
                    panel = np.asarray(Image.open(self._file(id_)))
                    trainer.logger.experiment.add_image(f"samples/{id_}", panel, dataformats="HWC")

    def _file(self, id_: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{id_.replace('/', '_')}.png"
