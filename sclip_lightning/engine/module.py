"""The LightningModule: wires data, segmentor and scores, and does nothing else."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sclip_lightning.data import SegmentationDataModule
from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine.callbacks.image_files import ImageFiles
from sclip_lightning.engine.environment import describe_environment, peak_memory
from sclip_lightning.engine.evaluation import Evaluation, check_agreement, notes_on
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.engine.recording import Recording
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.files import cache_folder
from sclip_lightning.model.assembly import build_segmentor, build_tower, build_upsampler, window_of
from sclip_lightning.model.description import describe_segmentor
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.records import Totals
from sclip_lightning.records.run import Run, Session
from sclip_lightning.reports.results import Results, results_of
from sclip_lightning.towers.checkpoints import Clip, load_clip
from sclip_lightning.towers.text import TextBank, build_text_bank, resolve_templates
from sclip_lightning.windows.grid import check_sliding_window

__all__ = ["ImageOutput", "SegmentationModule"]

T = TypeVar("T")


class ImageOutput(NamedTuple):
    """What callbacks get of an image.

    Attributes:
        labels: [H, W] int64 class labels.
        probabilities: [C, H, W] float32 before thresholds, if ``keep_probabilities`` is set; else None.
    """

    labels: Tensor
    probabilities: Tensor | None


class SegmentationModule(LightningModule):
    """Evaluates SCLIP and its relatives on a benchmark.

    Args:
        options: Those of :class:`SegmentorOptions`; ``protocol`` and the benchmark fill in what they leave open.

    Attributes:
        clip: The model; loaded when a run begins, unless another module of the same weights has lent it.
        bank: Embeddings of the class names, likewise.
        results: What the test found, once it has ended; the same on every device.
        reported_before: Whether there was nothing left to do and ``results`` are those of an earlier session.
        keep_probabilities: Hand callbacks class probabilities, too; a callback may set it in ``setup``.
        stop: Asked between images whether to go on; by default nothing asks the run to stop.

    Raises:
        ConfigError: Options that do not go together.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = SegmentorOptions(**options)  # from this call jsonargparse knows names, types, defaults and help
        plain = {field.name: getattr(self.options, field.name) for field in fields(SegmentorOptions)}
        self.save_hyperparameters({name: plain[name] for name in plain if name != "refiners"}, logger=False)
        self.clip: Clip | None = None
        self.bank: TextBank | None = None
        self.results: Results | None = None
        self.reported_before = False
        self.keep_probabilities = False
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.stop = StopRequest()

    def setup(self, stage: str) -> None:
        """Refuse a window that leaves gaps, and find out which images are still to be segmented."""
        check_sliding_window(*window_of(self.options, self.datamodule.protocol))
        precision = str(self.trainer.precision)
        if precision != "32-true" and not precision.endswith("-mixed"):
            msg = (
                f"--trainer.precision {precision} would round the weights and the logits, too, which changes labels by "
                "percent. Use 32-true, bf16-mixed or 16-mixed."
            )
            raise ConfigError(msg)
        self.recording = Recording(self._run_folder(), self.global_rank)
        self.datamodule.remaining = self._on_first(self._remaining)

    def configure_model(self) -> None:
        """Load the weights; not before a run begins, so that ``--help`` never downloads."""
        if self.clip is None:
            self.clip = load_clip(self.options.architecture, self.options.weights)
        self.tower = build_tower(self.clip, self.options, self.datamodule.benchmark.resclip)
        self.upsampler = build_upsampler(self.clip, self.options)

    def on_test_start(self) -> None:
        """Embed the class names, put the segmentor together, check that it is the run's, and start the clock."""
        self.bank = self._text_bank()
        self.segmentor = self._build_segmentor(self.bank).to(self.device)
        self.evaluation = Evaluation(self.datamodule.benchmark).to(self.device)
        complete = not self.datamodule.remaining
        self.recording.join(self._on_first(lambda: self.recording.begin(self._describe(), complete)))
        self._started = time.perf_counter()
        self.stop.begin_images()

    def test_step(self, batch: list[Sample], batch_idx: int) -> dict[str, ImageOutput]:
        """Segment, score and record each image by itself, so that the batch size cannot change a digit.

        Returns:
            The outputs by image id, for callbacks; without images that were skipped.
        """
        outputs = {}
        for sample in batch:
            self.stop.check()
            if not self.datamodule.owns(sample["index"]):
                continue  # a rank without images runs along on a borrowed one
            try:
                outputs[sample["id"]] = self._score(sample)
            except DataError as error:
                if self.datamodule.on_error == "error":
                    raise
                self.recording.skipped(sample["index"], sample["id"], str(error))
        return outputs

    def on_test_epoch_end(self) -> None:
        """Merge the records of all devices; the results then lie in ``results`` on every one of them."""
        seconds = time.perf_counter() - self._started
        self.recording.arrive()
        self.recording.wait_for(self.trainer.world_size, self.stop.check)
        self.stop.end_images()
        if self.datamodule.remaining:
            computed = self.evaluation.compute()
            self._on_first(lambda: self._check(computed))
        seconds = self._all_devices(seconds).max().item()
        images = int(self._all_devices(self.recording.added).sum())
        performance = {
            "devices": self._devices(),
            "images per second": images / seconds,
            "seconds": seconds,
            "peak memory GiB": self._all_devices(peak_memory(self.device)).max().item() / 2**30,
        }
        self.results = self._on_first(lambda: self._fold(images, performance))

    def _score(self, sample: Sample) -> ImageOutput:
        """Segment one image, count and record it."""
        if sample["error"] is not None:
            raise DataError(sample["error"])
        started = time.perf_counter()
        mask, image, rgb = sample["mask"], sample["image"][None], sample["rgb"][None]
        size = (mask.shape[0], mask.shape[1])
        probabilities = None
        if self.keep_probabilities:
            probabilities = self.segmentor.probabilities(image, size, rgb)[0]
        labels = self.segmentor.predict(image, size, rgb)[0]
        counts = self.evaluation.update(labels, mask)
        self.recording.scored(sample["index"], sample["id"], counts, time.perf_counter() - started)
        return ImageOutput(labels, probabilities)

    def segment(self, sample: Sample) -> Tensor:
        """[H, W] labels of a sample, in the trainer's precision as in the test; nothing is counted or recorded."""
        plugin = self.trainer.precision_plugin
        moved = plugin.convert_input({name: sample[name].to(self.device) for name in ("image", "rgb")})
        size = (sample["mask"].shape[0], sample["mask"].shape[1])
        with plugin.test_step_context():
            return self.segmentor.predict(moved["image"][None], size, moved["rgb"][None])[0]

    def _check(self, computed: tuple[Totals, dict[str, float]]) -> None:
        check_agreement(self.recording.session_records(), self.datamodule.benchmark.classes, computed)

    def _fold(self, images: int, performance: dict[str, Any]) -> Results:
        """The results of all sessions, of which the last scored so many images."""
        run = self.recording.run
        assert run is not None
        reported = None if self.datamodule.remaining else Results.load(self.recording.folder)
        if reported is not None:
            self.reported_before = True
            return reported
        if len(run.sessions) > 1:
            performance |= {"sessions": len(run.sessions), "images in the last session": images}
        return results_of(run, self.recording.all_records(), performance)

    def _run_folder(self) -> Path:
        """The logger's folder; without a logger a temporary one."""
        if self.trainer.limit_test_batches != 1.0:
            msg = (
                f"--trainer.limit_test_batches {self.trainer.limit_test_batches} (or fast_dev_run) leaves out images "
                "that the results would have to name. Use --data.num_samples for a part of the data set."
            )
            raise ConfigError(msg)
        folder = self.trainer.log_dir  # a broadcast: every rank must ask
        if self.trainer.logger is not None and folder is not None:
            return Path(folder)
        if self.trainer.is_global_zero:
            self._temporary = tempfile.TemporaryDirectory(prefix="sclip-")
        return Path(self._on_first(lambda: self._temporary.name if self._temporary else ""))

    def teardown(self, stage: str) -> None:
        """Delete the records of a run without a logger."""
        if self._temporary:
            self._temporary.cleanup()  # after an error it goes with the process

    def _remaining(self) -> list[int]:
        """Indices of the images without a record, or without a file that a callback is to write of each."""
        ids = [files.id for files in self.datamodule.dataset.files]
        # Records are kept by id.
        repeated = [id_ for id_, number in Counter(ids).items() if number > 1]
        if repeated:
            raise DataError(
                f"The data set has several images of one id, {', '.join(repeated[:3])}, but records are kept by id. "
                "Give every image a name of its own."
            )
        finished = self.recording.finished()
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ImageFiles):
                finished -= callback.lacking(finished)
        return [index for index, id_ in enumerate(ids) if id_ not in finished]

    def _describe(self) -> Run:
        """The run as this session sees it."""
        benchmark = self.datamodule.benchmark
        notes = notes_on(benchmark)
        if self.hparams["weights"] is None:
            notes.append("The weights are random: the scores say that everything runs, and nothing else.")
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        return Run(
            benchmark=benchmark.name,
            classes=list(benchmark.classes),
            boundaries=self.evaluation.boundary_names,
            protocol=self._protocol(),
            ids=[files.id for files in self.datamodule.dataset.files],
            split_size=self.datamodule.split_size,
            notes=notes,
            sessions=[Session(started, self._devices(), describe_environment(self.device))],
        )

    def _devices(self) -> str:
        return f"{self.trainer.world_size} x {self.device.type}"

    def _build_segmentor(self, bank: TextBank) -> SlidingWindowSegmentor:
        data = self.datamodule
        return build_segmentor(self.tower, self.upsampler, bank, self.options, data.protocol, data.benchmark.resclip)

    def _text_bank(self) -> TextBank:
        """Embed the names on rank 0 and hand the same bits to every rank."""
        assert self.clip is not None
        if self.bank is not None:
            return self.bank
        bank = None
        if self.trainer.is_global_zero:
            synonyms = self.datamodule.benchmark.synonyms
            templates = resolve_templates(self.options.templates)
            bank = build_text_bank(self.clip, synonyms, templates, self.device, cache_folder())
        return cast(TextBank, self.trainer.strategy.broadcast(bank))

    def _protocol(self) -> dict[str, Any]:
        """Everything the scores depend on, images aside."""
        assert self.clip is not None
        benchmark, templates = self.datamodule.benchmark, self.hparams["templates"]
        return {
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

    def _on_first(self, function: Callable[[], T]) -> T:
        """What a function returns on rank 0, on every rank."""
        value = function() if self.trainer.is_global_zero else None
        return cast(T, self.trainer.strategy.broadcast(value))

    def _all_devices(self, value: float) -> Tensor:
        """This device's value and those of all others, float64."""
        return cast(Tensor, self.all_gather(torch.tensor(value, dtype=torch.float64, device=self.device)))

    @property
    def datamodule(self) -> SegmentationDataModule:
        """The data module of the running test."""
        return self.trainer.datamodule  # type: ignore[attr-defined]
