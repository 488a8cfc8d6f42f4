"""Keeping what was predicted: label maps, overlays and probabilities."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule, Trainer

from sclip_lightning.data.reading.benchmark import Benchmark
from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine.callbacks.image_files import ImageFiles
from sclip_lightning.engine.context import run_context
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import replacing
from sclip_lightning.pictures.drawing import draw_overlay, label_image
from sclip_lightning.pictures.png import png_bytes
from sclip_lightning.records.artefacts import LABELS, OVERLAYS, PROBABILITIES, image_file

__all__ = ["PredictionWriter"]

#: Images that wait to be written; bounds memory, above all for probabilities (105 MB an image of COCO-Stuff).
WAITING = 2
#: What may be written, each into a folder of its name and, as an option, under that name; and how its files end.
KINDS = {LABELS: ".png", OVERLAYS: ".png", PROBABILITIES: ".npy"}


class PredictionWriter(ImageFiles):
    """Writes what was predicted for every image into the run's folder, while the next one is being segmented.

    Nothing is written by default. Asked for in a run that is finished, or goes on, they are made for the images that
    have none; the scores stay as they are.

    Args:
        labels: ``labels/<id>.png``, class indices at the size of the ground truth: palette PNGs with the benchmark's
            colours up to 256 classes, 16 bit grey above. ``sclip score --predictions`` reads them.
        overlays: ``overlays/<id>.png``, the image under its labels' colours, with a legend.
        probabilities: ``probabilities/<id>.npy``, [C, H, W] float16, before thresholds. Large (105 MB for an image of
            COCO-Stuff), and each image is segmented twice where no refiner asks for probabilities anyway.
    """

    def __init__(self, labels: bool = False, overlays: bool = False, probabilities: bool = False) -> None:
        self.labels = labels
        self.overlays = overlays
        self.probabilities = probabilities
        self._queue: Queue[Callable[[], None] | None] = Queue(WAITING)
        self._thread: Thread | None = None
        self._failure: Exception | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for probabilities, and refuse to write without a folder."""
        super().setup(trainer, pl_module, stage)
        asked = [kind for kind in KINDS if getattr(self, kind)]
        if asked and self.folder is None:
            msg = f"--predictions.{asked[0]} needs a folder to write to, but --trainer.logger is false: leave that out."
            raise ConfigError(msg)
        run_context(pl_module).probabilities_wanted |= self.probabilities
        if asked:
            self._thread = Thread(target=self._write, daemon=True, name="prediction-writer")
            self._thread.start()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: list[Sample],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Hand the images over."""
        if self._thread is None:
            return
        benchmark = run_context(pl_module).benchmark
        for sample in batch:
            if sample["id"] in outputs:
                output = outputs[sample["id"]]
                labels = output.labels.cpu().numpy()
                rgb = sample["rgb"].permute(1, 2, 0).cpu().numpy()
                probabilities = None
                if self.probabilities:
                    probabilities = output.probabilities.to(torch.float16).cpu().numpy()
                self._raise_failure()
                self._queue.put(partial(self._save, benchmark, sample["id"], labels, rgb, probabilities))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait until all is written."""
        self._finish()
        self._raise_failure()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what was handed over also in a run that ends early."""
        self._finish()

    def wanted(self, id_: str) -> list[Path]:
        """One file for each kind."""
        assert self.folder is not None
        return [self.folder / kind / image_file(id_, suffix) for kind, suffix in KINDS.items() if getattr(self, kind)]

    def _save(
        self,
        benchmark: Benchmark,
        id_: str,
        labels: npt.NDArray[np.int64],
        rgb: npt.NDArray[np.uint8],
        probabilities: npt.NDArray[np.float16] | None,
    ) -> None:
        for path in self.wanted(id_):
            with replacing(path) as temporary:
                if path.parent.name == LABELS:
                    label_image(labels, benchmark.palette).save(temporary)
                elif path.parent.name == OVERLAYS:
                    overlay = draw_overlay(rgb, labels, benchmark.palette, benchmark.classes)
                    temporary.write_bytes(png_bytes(overlay))
                elif probabilities is not None:
                    np.save(temporary, probabilities)

    def _write(self) -> None:
        """The thread: write until told to end; after a failure, take and drop, so that nobody waits forever."""
        while (job := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    job()
            except Exception as error:
                self._failure = error

    def _finish(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
