"""The LightningModule: wires data, segmentor and scores, and does nothing else."""

import time
from dataclasses import fields
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sclip_lightning.assembly import build_segmentor, build_tower, build_upsampler, window_of
from sclip_lightning.clip.loading import Clip, load_clip
from sclip_lightning.clip.text import TextBank, build_text_bank, cache_folder, resolve_templates
from sclip_lightning.confusions import pixel_pairs
from sclip_lightning.data import SegmentationDataModule
from sclip_lightning.data.dataset import Sample
from sclip_lightning.environment import describe_environment, peak_memory
from sclip_lightning.evaluation import Evaluation
from sclip_lightning.metrics import confusion_matrix
from sclip_lightning.options import SegmentorOptions
from sclip_lightning.protocol import describe_segmentor
from sclip_lightning.report import Results
from sclip_lightning.sliding_window import SlidingWindowSegmentor
from sclip_lightning.windows import check_sliding_window

__all__ = ["SegmentationModule"]


class SegmentationModule(LightningModule):
    """Evaluates SCLIP and its relatives on a benchmark.

    Args:
        options: Those of :class:`SegmentorOptions`; ``protocol`` and the benchmark fill in what they leave open.

    Raises:
        ConfigError: Options that do not go together.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = SegmentorOptions(**options)  # from this call jsonargparse knows names, types, defaults and help
        plain = {field.name: getattr(self.options, field.name) for field in fields(SegmentorOptions)}
        self.save_hyperparameters({name: plain[name] for name in plain if name != "refiners"}, logger=False)
        self.clip: Clip | None = None
        self.results: Results | None = None

    def setup(self, stage: str) -> None:
        """Refuse a window that leaves gaps, now that the benchmark's is known."""
        check_sliding_window(*window_of(self.options, self.datamodule.protocol))

    def configure_model(self) -> None:
        """Load the weights; not before a run begins, so that ``--help`` never downloads."""
        if self.clip is None:
            self.clip = load_clip(self.options.architecture, self.options.weights)
        self.tower = build_tower(self.clip, self.options, self.datamodule.benchmark.resclip)
        self.upsampler = build_upsampler(self.clip, self.options)

    def on_test_start(self) -> None:
        """Embed the class names, put the segmentor together and start the clock."""
        bank = self._text_bank()
        self.segmentor = self._build_segmentor(bank).to(self.device)
        self.evaluation = Evaluation(self.datamodule.benchmark).to(self.device)
        self._image_pairs: dict[int, npt.NDArray[np.int64]] = {}
        self._started = time.perf_counter()

    def test_step(self, batch: list[Sample], batch_idx: int) -> dict[str, Tensor]:
        """Segment and score each image by itself, so that the batch size cannot change a digit.

        Returns:
            The [H, W] labels by image id, for callbacks.
        """
        predictions = {}
        for sample in batch:
            if not self.datamodule.owns(sample["index"]):
                continue  # a rank without images runs along on a borrowed one
            height, width = sample["mask"].shape
            prediction = self.segmentor.predict(sample["image"][None], (height, width), sample["rgb"][None])[0]
            self.evaluation.update(prediction, sample["mask"])
            confusion = confusion_matrix(prediction, sample["mask"], len(self.datamodule.benchmark.classes))
            self._image_pairs[sample["index"]] = pixel_pairs(confusion.cpu().numpy())
            predictions[sample["id"]] = prediction
        return predictions

    def on_test_epoch_end(self) -> None:
        """Sum over all devices; the results then lie in ``results`` on every one of them."""
        metrics, classes, notes = self.evaluation.compute()
        if self.hparams["weights"] is None:
            notes.append("The weights are random: the scores say that everything runs, and nothing else.")
        seconds = self._all_devices(time.perf_counter() - self._started).max().item()
        images = int(self._all_devices(self.evaluation.images).sum())
        self._image_pairs = self._of_all_devices(self._image_pairs)
        self.results = Results(
            benchmark=self.datamodule.benchmark.name,
            metrics=metrics,
            classes=classes,
            protocol=self._protocol(images),
            performance={
                "devices": f"{self.trainer.world_size} x {self.device.type}",
                "images per second": images / seconds,
                "seconds": seconds,
                "peak memory GiB": self._all_devices(peak_memory(self.device)).max().item() / 2**30,
            },
            environment=describe_environment(self.device),
            notes=notes,
        )
        logged = {name: value for name, value in metrics.items() if value is not None}
        self.log_dict(logged, logger=False, rank_zero_only=True)

    def image_pairs(self) -> dict[int, npt.NDArray[np.int64]]:
        """On rank 0, once all images are scored: ``pixel_pairs`` of every image by its index in the data set."""
        return self._image_pairs

    def segment(self, sample: Sample) -> Tensor:
        """[H, W] labels of a sample, in the trainer's precision, as in the test; nothing is counted."""
        plugin = self.trainer.precision_plugin
        moved = plugin.convert_input({name: sample[name].to(self.device) for name in ("image", "rgb")})
        height, width = sample["mask"].shape
        with plugin.test_step_context():
            return self.segmentor.predict(moved["image"][None], (height, width), moved["rgb"][None])[0]

    def _build_segmentor(self, bank: TextBank) -> SlidingWindowSegmentor:
        data = self.datamodule
        return build_segmentor(self.tower, self.upsampler, bank, self.options, data.protocol, data.benchmark.resclip)

    def _text_bank(self) -> TextBank:
        """Embed the names on rank 0 and hand the same bits to every rank."""
        assert self.clip is not None
        bank = None
        if self.trainer.is_global_zero:
            synonyms = self.datamodule.benchmark.synonyms
            templates = resolve_templates(self.options.templates)
            bank = build_text_bank(self.clip, synonyms, templates, self.device, cache_folder())
        return cast(TextBank, self.trainer.strategy.broadcast(bank))

    def _protocol(self, images: int) -> dict[str, Any]:
        """Everything the scores depend on."""
        assert self.clip is not None
        benchmark, templates = self.datamodule.benchmark, self.hparams["templates"]
        return {
            "images": f"{images} of {self.datamodule.split_size}",
            "classes": len(benchmark.classes),
            "class_file": benchmark.class_file,
            "class_file_sha256": benchmark.class_file_sha256[:12],
            "templates": templates if isinstance(templates, str) else " | ".join(templates),
            "short_side": self.datamodule.protocol.short_side,
            **describe_segmentor(self.segmentor),
            "architecture": self.clip.architecture,
            "weights": self.clip.weights,
            "weights_sha256": self.clip.fingerprint[:12],
            "precision": str(self.trainer.precision),
        }

    def _of_all_devices(self, pairs: dict[int, npt.NDArray[np.int64]]) -> dict[int, npt.NDArray[np.int64]]:
        if self.trainer.world_size == 1:
            return pairs
        parts: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(parts, pairs)
        return {index: image for part in parts for index, image in part.items()}

    def _all_devices(self, value: float) -> Tensor:
        """This device's value and those of all others, float64."""
        return cast(Tensor, self.all_gather(torch.tensor(value, dtype=torch.float64, device=self.device)))

    @property
    def datamodule(self) -> SegmentationDataModule:
        """The data module of the running test."""
        return self.trainer.datamodule  # type: ignore[attr-defined]
