"""Pictures of the images that were segmented worst, and of middling ones."""

import zlib
from bisect import bisect_left, insort
from typing import Any

import numpy as np
import numpy.typing as npt
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

__all__ = ["KeptLabels", "RankedPanels"]

#: Images whose labels are kept besides the worst; packed, a few kilobytes each.
KEPT = 100


class RankedPanels(Callback):
    """Draws the images with the lowest mIoU of their own, and those around the median, at the end of a run.

    Only then is it known which these are. While images are being scored, the labels of those that may be among them are
    kept; images of earlier sessions and other processes are segmented once more, on rank 0, and not counted again.
    Panels are written to ``ranked_panels/`` in the run's folder and shown in TensorBoard under ``worst/1``, ... and
    ``median/1``, ..., tags that are the same in every run although the images differ.

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
        """Forget the labels of the run before."""
        self._kept = KeptLabels(self.worst)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: list[Sample],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep labels that may be needed at the end, on the rank that will draw."""
        context = run_context(pl_module)
        if not context.is_first or context.folder is None or not self.worst + self.median:
            return
        for sample in batch:
            if (output := outputs.get(sample["id"])) is not None:
                score = image_miou(output.counts.confusion)
                self._kept.add(sample["index"], score, output.labels.cpu().numpy())

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
                labels = self._kept.of(index)
                if labels is None:
                    labels = context.segment(sample).cpu().numpy()
                panel = _draw(context, sample, labels, title)
                with replacing(folder / image_file(f"{kind}-{number}_{sample['id']}", ".png")) as path:
                    Image.fromarray(panel).save(path)
                if isinstance(trainer.logger, TensorBoardLogger):
                    trainer.logger.experiment.add_image(f"{kind}/{number}", panel, dataformats="HWC")


class KeptLabels:
    """Labels of images that may turn out to be among the worst or the middling ones, packed, a bounded number of them.

    The worst so far are always kept, so none of the worst of all can be missing; of the others those go first that lie
    farthest from the middle of what has been scored.

    Args:
        worst: How many of the worst are wanted.
    """

    def __init__(self, worst: int) -> None:
        self._worst = worst
        self._order: list[tuple[float, int]] = []  # all scores so far with their images, sorted
        self._scores: dict[int, float] = {}  # of those that are kept
        self._packed: dict[int, tuple[tuple[int, ...], str, bytes]] = {}

    def add(self, index: int, score: float, labels: npt.NDArray[np.int64]) -> None:
        """Take an image in.

        Args:
            index: Its place in the data set.
            score: Its mIoU; NaN, with which it is never drawn.
            labels: [H, W] class indices.
        """
        if score != score:
            return
        insort(self._order, (score, index))
        self._scores[index] = score
        small = labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16)
        self._packed[index] = small.shape, small.dtype.str, zlib.compress(small.tobytes(), 1)
        if len(self._packed) > self._worst + KEPT:
            middle = len(self._order) / 2
            places = {i: bisect_left(self._order, (kept, i)) for i, kept in self._scores.items()}
            loose = [i for i, place in places.items() if place >= self._worst]
            farthest = max(loose, key=lambda i: (abs(places[i] - middle), i))
            del self._packed[farthest], self._scores[farthest]

    def of(self, index: int) -> npt.NDArray[np.int64] | None:
        """[H, W] labels of an image; None where they were not kept."""
        if index not in self._packed:
            return None
        shape, kind, packed = self._packed[index]
        return np.frombuffer(zlib.decompress(packed), kind).reshape(shape).astype(np.int64)


def _draw(context: RunContext, sample: Sample, labels: npt.NDArray[np.int64], title: str) -> Array:
    return draw_panel(
        sample["rgb"].permute(1, 2, 0).numpy(),
        sample["mask"].numpy(),
        labels,
        context.benchmark.palette,
        context.benchmark.classes,
        title=title,
    )
