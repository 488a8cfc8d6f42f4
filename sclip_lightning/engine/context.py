"""The run under way, as callbacks see it: one typed object, and one way to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

from lightning.pytorch import LightningModule
from torch import Tensor

from sclip_lightning.data.reading.benchmark import Benchmark
from sclip_lightning.data.reading.dataset import Sample, SegmentationDataset
from sclip_lightning.engine.behind import Behind
from sclip_lightning.engine.ranks import Ranks
from sclip_lightning.engine.recording import Recording
from sclip_lightning.errors import ConfigError
from sclip_lightning.records import ImageCounts
from sclip_lightning.reports.results import Results

__all__ = ["ImageOutput", "RunContext", "run_context"]


class ImageOutput(NamedTuple):
    """What segmenting an image gave.

    Attributes:
        labels: [H, W] int64 class labels.
        probabilities: [C, H, W] float16 before thresholds, where a callback wants them; else None.
    """

    labels: Tensor
    probabilities: Tensor | None


@dataclass
class RunContext:
    """A run, from the first callback's ``setup`` on until long after its end.

    Attributes:
        folder: The run's folder, the same for all processes; None without a logger, when nothing is kept.
        benchmark: What is evaluated on.
        dataset: The images at hand, those of earlier sessions included.
        recording: The records of its images.
        ranks: Its processes.
        parts: What the segmentor is made of, in words.
        segment: [H, W] int64 labels of a sample, computed once more as in the test; nothing is counted or recorded.
        warnings: What may be wrong with the run, found before its first image; the results repeat it as notes.
        probabilities_wanted: Whether callbacks are handed class probabilities, too; one may set it in ``setup``.
        behind: Does what comes after the network, image by image.
        each_image: Called for every image that was scored, once it is recorded, with what was counted of it; behind the
            network, and so never two at a time, while the trainer is busy with other images. Callbacks that keep or
            draw something of single images add themselves in ``setup`` or ``on_test_start``.
        lacking: Asked for those of some images that are not finished, although they have been scored, because a file
            of theirs is not there; callbacks that write one per image add themselves in ``setup``.
        results: What the test found, once it has ended; the same on every rank.
        reported_before: Whether there was nothing left to do and ``results`` are those of an earlier session; the same
            on every rank.
        temporary: Where the records lie for the time being, if there is no folder; on the first rank.
    """

    folder: Path | None
    benchmark: Benchmark
    dataset: SegmentationDataset
    recording: Recording
    ranks: Ranks
    parts: str
    segment: Callable[[Sample], Tensor]
    warnings: Sequence[str] = ()
    probabilities_wanted: bool = False
    behind: Behind = field(default_factory=Behind)
    each_image: list[Callable[[Sample, ImageOutput, ImageCounts], None]] = field(default_factory=list)
    lacking: list[Callable[[set[str]], set[str]]] = field(default_factory=list)
    results: Results | None = None
    reported_before: bool = False
    temporary: "TemporaryDirectory[str] | None" = None

    @property
    def is_first(self) -> bool:
        """Whether this process is the run's first, which alone writes what there is once."""
        return self.ranks.is_first

    @property
    def ids(self) -> list[str]:
        """Ids of the images, in the order of the data set."""
        return [files.id for files in self.dataset.files]

    def close(self) -> None:
        """End what works behind the network, and delete the records of a run that has no folder."""
        self.behind.end()
        if self.temporary is not None:
            self.temporary.cleanup()  # after an error it goes with the process


def run_context(module: LightningModule) -> RunContext:
    """The run that a callback's module is in.

    The first call of a test makes the context, which takes collectives: all ranks must make it in the same hook, as
    they do in ``setup``.

    Args:
        module: The ``pl_module`` that Lightning hands to every callback.

    Raises:
        ConfigError: It is no ``SegmentationModule``, or the trainer's options do not suit an evaluation.
    """
    if not hasattr(type(module), "context"):
        msg = (
            f"The callbacks of sclip_lightning were given to a trainer that runs {type(module).__name__}, but expect a "
            "SegmentationModule. Leave them out of this trainer."
        )
        raise ConfigError(msg)
    return cast(RunContext, module.context)
