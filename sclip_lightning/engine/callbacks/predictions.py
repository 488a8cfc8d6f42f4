"""Keeping what was predicted: label maps, overlays and probabilities."""

from pathlib import Path

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine.callbacks.image_files import ImageFiles
from sclip_lightning.engine.context import ImageOutput, run_context
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import replacing
from sclip_lightning.pictures.drawing import draw_overlay, label_image
from sclip_lightning.pictures.png import png_bytes
from sclip_lightning.records import ImageCounts
from sclip_lightning.records.artefacts import LABELS, OVERLAYS, PROBABILITIES, image_file

__all__ = ["PredictionWriter"]

#: What may be written, each into a folder of its name and, as an option, under that name; and how its files end.
KINDS = {LABELS: ".png", OVERLAYS: ".png", PROBABILITIES: ".npy"}


class PredictionWriter(ImageFiles):
    """Writes what was predicted for every image into the run's folder.

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

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for probabilities, and refuse to write without a folder."""
        super().setup(trainer, pl_module, stage)
        asked = [kind for kind in KINDS if getattr(self, kind)]
        if asked and self.folder is None:
            msg = f"--predictions.{asked[0]} needs a folder to write to, but --trainer.logger is false: leave that out."
            raise ConfigError(msg)
        context = run_context(pl_module)
        context.probabilities_wanted |= self.probabilities
        self._benchmark = context.benchmark
        if asked:
            context.each_image.append(self._save)

    def wanted(self, id_: str) -> list[Path]:
        """One file for each kind."""
        assert self.folder is not None
        return [self.folder / kind / image_file(id_, suffix) for kind, suffix in KINDS.items() if getattr(self, kind)]

    def _save(self, sample: Sample, output: ImageOutput, counts: ImageCounts) -> None:
        """Write the files of an image."""
        del counts
        benchmark, labels = self._benchmark, output.labels.cpu().numpy()
        for path in self.wanted(sample["id"]):
            with replacing(path) as temporary:
                if path.parent.name == LABELS:
                    label_image(labels, benchmark.palette).save(temporary)
                elif path.parent.name == OVERLAYS:
                    rgb = sample["rgb"].permute(1, 2, 0).cpu().numpy()
                    overlay = draw_overlay(rgb, labels, benchmark.palette, benchmark.classes)
                    temporary.write_bytes(png_bytes(overlay))
                elif output.probabilities is not None:
                    np.save(temporary, output.probabilities.cpu().numpy())
