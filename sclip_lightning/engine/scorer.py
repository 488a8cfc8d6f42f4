"""Scoring the images of a run as they come: counted and recorded behind the network."""

import time
from collections.abc import Callable
from functools import partial

import torch

from sclip_lightning.data.reading.dataset import SKIP_ADVICE, Sample
from sclip_lightning.engine.context import ImageOutput, RunContext
from sclip_lightning.engine.evaluation import Evaluation
from sclip_lightning.errors import DataError
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor

__all__ = ["Scorer"]


class Scorer:
    """Has images segmented, and counts and records them while the next one is.

    Args:
        context: The run.
        evaluation: What counts.
        segmentor: The run's, which knows where its windows begin.
        skips: Record images that cannot be scored as skipped, rather than stop at them.
    """

    def __init__(
        self, context: RunContext, evaluation: Evaluation, segmentor: SlidingWindowSegmentor, skips: bool
    ) -> None:
        self._context = context
        self._evaluation = evaluation
        self._segmentor = segmentor
        self._skips = skips

    def take(self, sample: Sample, segment: Callable[[], ImageOutput]) -> ImageOutput | None:
        """Segment an image, and hand over what is left to do.

        Args:
            sample: What is segmented.
            segment: Does it.

        Returns:
            What came out; None where the image could not be segmented and was skipped.

        Raises:
            DataError: It cannot be segmented, or one before it could not be scored, and no images are to be skipped.
        """
        started = time.perf_counter()
        try:
            output = segment()
        except DataError as error:
            self._context.behind.wait()  # what came before this image comes first, errors included
            self._skip(sample["id"], error)
            return None
        self._context.behind.hand_over(partial(self._score, sample, output, time.perf_counter() - started))
        return output

    @torch.inference_mode()  # as in the trainer's thread, whose tensors allow no other
    def _score(self, sample: Sample, output: ImageOutput, seconds: float) -> None:
        """Count an image that took so many seconds to segment, record it, and let callbacks make of it what they do."""
        started = time.perf_counter()
        try:
            borders = self._segmentor.borders(sample["image"], output.labels)
            counts = self._evaluation.update(output.labels, sample["mask"], borders)
        except DataError as error:
            self._skip(sample["id"], error)
            return
        seconds += time.perf_counter() - started
        self._context.recording.scored(sample["id"], counts, seconds, sample["fingerprint"])
        for keep in self._context.each_image:
            keep(sample, output, counts)

    def _skip(self, id_: str, error: DataError) -> None:
        """Record that an image cannot be scored, or refuse that."""
        if not self._skips:
            raise DataError(f"{error} {SKIP_ADVICE}") from error
        self._context.recording.skipped(id_, str(error))
