"""The LightningModule: wires data, segmentor and scores, and does nothing else."""

import time
from functools import partial
from typing import Any, cast

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.data.reading.segmentation_data import SegmentationData
from sclip_lightning.data.reading.transforms import check_patch
from sclip_lightning.engine import wiring
from sclip_lightning.engine.context import ImageOutput, RunContext
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.engine.environment import counting_device
from sclip_lightning.engine.evaluation import Evaluation
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.engine.scorer import Scorer
from sclip_lightning.engine.session_end import end_session
from sclip_lightning.engine.session_start import begin_session, open_run, remaining_images
from sclip_lightning.errors import DataError
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.recall import Recall
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers import Clip, load_clip
from sclip_lightning.towers.compiled import check_compiler
from sclip_lightning.windows import Texts

__all__ = ["SegmentationModule"]


class SegmentationModule(LightningModule):
    """Evaluates SCLIP and its relatives on a benchmark.

    Args:
        options: Those of :class:`SegmentorOptions`; ``protocol`` and the benchmark fill in what they leave open.

    Attributes:
        clip: The model; loaded when a run begins, unless another module of the same weights has lent it.
        texts: Embeddings of the class names, likewise.
        recall: Keeps features of images for segmentors of other names; None, the default, keeps nothing.
        stop: Asked between images whether to go on; by default nothing asks the run to stop.

    Raises:
        ConfigError: Options that do not go together.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = SegmentorOptions(**options)  # from this call jsonargparse knows names, types, defaults and help
        self.clip: Clip | None = None
        self.texts: Texts | None = None
        self.recall: Recall | None = None
        self.stop = StopRequest()
        self._context: RunContext | None = None

    @property
    def context(self) -> RunContext:
        """The run under way or, after a test, the last one. Callbacks get it by ``run_context``."""
        # Made on demand: the callbacks' setup comes before the module's, and before that no hook runs on all ranks.
        if self._context is None:
            self._context = open_run(self.trainer, self.data, wiring.name_parts(self.options), self.segment_again)
        return self._context

    @property
    def datamodule(self) -> SegmentationDataModule:
        """The data module of the running test."""
        return wiring.datamodule_of(self.trainer)

    @property
    def data(self) -> SegmentationData:
        """What it reads."""
        return self.datamodule.data

    def configure_callbacks(self) -> list[Callback]:
        """One that ends a run in order; and in this first hook of a test the run of the last one is forgotten."""
        self._context = None
        return [_FinishesImages()]

    def setup(self, stage: str) -> None:
        """Refuse a window that leaves gaps, and find out which images are still to be segmented."""
        self.settings = wiring.settle(self.options, self.data)
        context = self.context
        self.stop.watch(context.ranks.heartbeat(context.recording.folder, self.stop.failure))
        self.datamodule.remaining = remaining_images(self.context, self.data)

    def configure_model(self) -> None:
        """Load the weights; not before a run begins, so that ``--help`` never downloads."""
        if self.clip is None:
            self.clip = load_clip(self.options.architecture, self.options.weights)
        self.networks = load_networks(self.clip, self.options.parts, compiled=self.options.compile)

    def on_test_start(self) -> None:
        """Embed the class names, put the segmentor together, check that it is the run's, and start the clock."""
        clip, options, settings, data = self.clip, self.options, self.settings, self.data
        assert clip is not None  # configure_model has loaded it
        if self.texts is None:  # embedded on one rank, so that all have the same bits
            self.texts = self.context.ranks.on_first(lambda: wiring.embed_classes(clip, settings, data, self.device))
        if options.compile:
            check_compiler(self.device)
        self.segmentor = build_segmentor(self.networks, self.texts, settings, self.recall).to(self.device)
        self.evaluation = Evaluation(data.benchmark).to(counting_device(self.device))
        self._sizes = wiring.sizes_that_fit(self.context, self.segmentor, options, settings, data)
        self.context.warnings = wiring.warnings_of(self.segmentor, options, settings, data)
        notes = [*wiring.notes_on(options, settings, data), *self.context.warnings]
        boundaries, complete = self.evaluation.boundary_names, not self.datamodule.remaining
        begin_session(self.context, data, boundaries, self._protocol, notes, complete)
        self._scorer = Scorer(self.context, self.evaluation, self.segmentor, data.on_error == "skip")
        self._started = time.perf_counter()
        self.stop.begin_images()

    def _protocol(self) -> dict[str, Any]:
        assert self.clip is not None  # configure_model has loaded it
        precision = str(self.trainer.precision)
        return wiring.describe_protocol(self.clip, self.segmentor, self.options, self.data, precision, self._sizes)

    def test_step(self, batch: list[Sample], batch_idx: int) -> dict[str, ImageOutput]:
        """Segment each image by itself, so that the batch size cannot change a digit, and have it scored behind.

        Returns the outputs by image id, for callbacks; without images that could not be segmented.
        """
        outputs = {}
        for sample in batch:
            self.context.behind.check()
            self.stop.check()
            if not self.datamodule.owns(sample["index"]):
                continue  # a rank without images runs along on a borrowed one
            segment = partial(self.segment, sample, self.context.probabilities_wanted)
            output = self._scorer.take(sample, segment)
            if output is not None:
                outputs[sample["id"]] = output
        return outputs

    def segment(
        self, sample: Sample, probabilities: bool = False, segmentor: SlidingWindowSegmentor | None = None
    ) -> ImageOutput:
        """Segment a sample on this device; all that a test segments comes through here.

        Args:
            sample: As it was read.
            probabilities: Give class probabilities, too.
            segmentor: Another than the test's, of the same tower.

        Raises:
            DataError: It could not be read, holds no patch, or, where images may be skipped, does not fit in memory.
        """
        if sample["error"] is not None:
            raise DataError(sample["error"])
        source, (height, width) = f"The image {sample['id']}", sample["mask"].shape
        segmentor = segmentor or self.segmentor
        check_patch(sample["image"], segmentor.tower.patch_size, source, (height, width))
        with wiring.memory_for(source, (height, width), self.options, self.data):
            segmentation = segmentor.predict(sample["image"], (height, width), sample["rgb"], sample["regions"])
        return ImageOutput(segmentation.labels, segmentation.probabilities.half() if probabilities else None)

    def segment_again(self, sample: Sample) -> Tensor:
        """[H, W] labels of a sample, in the test's precision; nothing is counted or recorded."""
        plugin = self.trainer.precision_plugin
        read = {name: sample[name] for name in ("image", "rgb", "regions")}
        moved = plugin.convert_input(move_data_to_device(read, self.device))
        with plugin.test_step_context():
            return self.segment(cast(Sample, {**sample, **moved})).labels

    def on_test_epoch_end(self) -> None:
        """Merge the records of all devices; the results then lie in ``context`` on every one of them."""
        self.context.behind.wait()
        seconds = time.perf_counter() - self._started
        end_session(self.context, self.evaluation, self.stop, seconds, anything_done=bool(self.datamodule.remaining))

    def teardown(self, stage: str) -> None:
        """Say that this process is done, and delete the records of a run without a logger."""
        self.stop.leave()
        if self._context is not None:
            self._context.close()

    def finish_images(self) -> None:
        """Let the images that are behind the network be scored and recorded, in a run that ends early."""
        if self._context is not None:
            self._context.behind.end()


class _FinishesImages(Callback):
    """Tells the module of the end of a run, which Lightning tells callbacks alone."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        del trainer, exception
        assert isinstance(pl_module, SegmentationModule)  # whose callback this is
        pl_module.finish_images()
