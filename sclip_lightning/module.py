"""The LightningModule: wires data, segmentor and scores, and does nothing else."""

import time
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sclip_lightning.clip.attention import AttentionVariant
from sclip_lightning.clip.loading import Clip, load_clip
from sclip_lightning.clip.text import TextBank, build_text_bank, cache_folder, resolve_templates
from sclip_lightning.clip.tower import VisionTower
from sclip_lightning.data import SegmentationDataModule
from sclip_lightning.data.dataset import Sample
from sclip_lightning.environment import describe_environment, peak_memory
from sclip_lightning.evaluation import Evaluation
from sclip_lightning.head import Head
from sclip_lightning.report import Results
from sclip_lightning.segmentor import Segmentor
from sclip_lightning.windows import check_sliding_window

__all__ = ["SegmentationModule"]


class SegmentationModule(LightningModule):
    """Evaluates SCLIP on a benchmark.

    Args:
        architecture: open_clip model name, or local-dir:FOLDER with an open_clip_config.json inside.
        weights: A tag of open_clip (downloaded once), the path of a checkpoint, or null for random weights.
        attention: Attention of the last block: vanilla, maskclip, sclip, clearclip or naclip.
        residual: Keep the last block's residual connections and MLP; null does as the variant's paper.
        gaussian_std: Standard deviation of naclip's window in patches.
        templates: Prompt templates: imagenet (80), none, or a list of texts with one {} each.
        crop: Side of the sliding window in pixels; 0 takes each image whole.
        stride: Distance between windows in pixels.
        window_batch_size: Most windows in one pass through the tower; bounds memory.
        logit_scale: Factor on the cosines; null takes the benchmark's.
        prob_threshold: Pixels less certain than this become class 0; 0 is off, null takes the benchmark's.
        area_threshold: Classes smaller than this share of all foreground are dropped; 0 is off, null takes the
            benchmark's.

    Raises:
        ConfigError: A stride that leaves gaps, or templates without a place for the name.
    """

    def __init__(
        self,
        architecture: str = "ViT-B-16-quickgelu",
        weights: str | None = "openai",
        attention: AttentionVariant = "sclip",
        residual: bool | None = None,
        gaussian_std: float = 5.0,
        templates: str | list[str] = "imagenet",
        crop: int = 224,
        stride: int = 112,
        window_batch_size: int = 32,
        logit_scale: float | None = None,
        prob_threshold: float | None = None,
        area_threshold: float | None = None,
    ) -> None:
        super().__init__()
        check_sliding_window(crop, stride)
        self.save_hyperparameters(logger=False)
        self.templates = resolve_templates(templates)
        self.clip: Clip | None = None
        self.results: Results | None = None

    def configure_model(self) -> None:
        """Load the weights; not before a run begins, so that ``--help`` never downloads."""
        if self.clip is None:
            self.clip = load_clip(self.hparams["architecture"], self.hparams["weights"])
            self.tower = VisionTower(
                self.clip.model.visual,
                self.hparams["attention"],
                self.hparams["residual"],
                self.hparams["gaussian_std"],
            )

    def on_test_start(self) -> None:
        """Embed the class names and start the clock."""
        benchmark = self.datamodule.benchmark
        bank = self._text_bank()
        chosen = {name: self.hparams[name] for name in ("logit_scale", "prob_threshold", "area_threshold")}
        head = Head(**{name: getattr(benchmark, name) if value is None else value for name, value in chosen.items()})
        window = {name: self.hparams[name] for name in ("crop", "stride", "window_batch_size")}
        self.segmentor = Segmentor(self.tower, bank.queries, bank.query_classes, head, **window).to(self.device)
        self.evaluation = Evaluation(benchmark).to(self.device)
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
            prediction = self.segmentor.predict(sample["image"][None], (height, width))[0]
            self.evaluation.update(prediction, sample["mask"])
            predictions[sample["id"]] = prediction
        return predictions

    def on_test_epoch_end(self) -> None:
        """Sum over all devices; the results then lie in ``results`` on every one of them."""
        metrics, classes, notes = self.evaluation.compute()
        seconds = self._all_devices(time.perf_counter() - self._started).max().item()
        images = int(self._all_devices(self.evaluation.images).sum())
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

    def _text_bank(self) -> TextBank:
        """Embed the names on rank 0 and hand the same bits to every rank."""
        assert self.clip is not None
        bank = None
        if self.trainer.is_global_zero:
            synonyms = self.datamodule.benchmark.synonyms
            bank = build_text_bank(self.clip, synonyms, self.templates, self.device, cache_folder())
        return cast(TextBank, self.trainer.strategy.broadcast(bank))

    def _protocol(self, images: int) -> dict[str, Any]:
        """Everything the scores depend on."""
        assert self.clip is not None
        benchmark = self.datamodule.benchmark
        templates = self.hparams["templates"]
        return {
            "images": f"{images} of {self.datamodule.split_size}",
            "classes": len(benchmark.classes),
            "class_file": benchmark.class_file,
            "class_file_sha256": benchmark.class_file_sha256[:12],
            "names": len(self.segmentor.queries),
            "templates": templates if isinstance(templates, str) else " | ".join(templates),
            "short_side": benchmark.short_side,
            "crop": self.segmentor.crop or "whole image",
            "stride": self.segmentor.stride if self.segmentor.crop else "-",
            "attention": self.tower.attention,
            "residual": self.tower.residual,
            "logit_scale": self.segmentor.head.logit_scale,
            "prob_threshold": self.segmentor.head.prob_threshold,
            "area_threshold": self.segmentor.head.area_threshold,
            "architecture": self.clip.architecture,
            "weights": self.clip.weights,
            "weights_sha256": self.clip.fingerprint[:12],
            "precision": str(self.trainer.precision),
        }

    def _all_devices(self, value: float) -> Tensor:
        """This device's value and those of all others, float64."""
        return cast(Tensor, self.all_gather(torch.tensor(value, dtype=torch.float64, device=self.device)))

    @property
    def datamodule(self) -> SegmentationDataModule:
        """The data module of the running test."""
        return self.trainer.datamodule  # type: ignore[attr-defined]
