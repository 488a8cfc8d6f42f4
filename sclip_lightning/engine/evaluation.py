"""Counting what a benchmark scores: image by image for the records, and summed in metrics as their cross-check."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sclip_lightning.data.reading.benchmark import Benchmark
from sclip_lightning.errors import RunError
from sclip_lightning.metrics import BoundaryF1, SegmentationScores, boundary_counts_at, count_seams
from sclip_lightning.metrics.confusion import in_bytes
from sclip_lightning.records import BoundaryTotals, ImageCounts, ImageRecord, Seams, Totals, scores_of, sum_up

__all__ = ["BOUNDARY_TOLERANCES", "Evaluation", "check_agreement", "notes_on"]

#: Boundary tolerances: 0.75 % of the image diagonal (Csurka et al., BMVC 2013) and 3 pixels.
BOUNDARY_TOLERANCES = {"bF1@0.75pct": 0.0075, "bF1@3px": 3.0}

#: Largest difference between a score that the metrics compute and the same from records: the sums behind both are
#: integers and must be the same, their means are taken in another order.
ROUNDING = 1e-12


class Evaluation(nn.Module):
    """Counts label maps; all sums are integers, so any split over devices gives the same digits.

    Args:
        benchmark: Whose classes are scored; boundaries are left out where its background is ignored.

    Attributes:
        boundary_names: Names of the boundary scores.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        super().__init__()
        classes = len(benchmark.classes)
        self.regions = SegmentationScores(classes)
        tolerances = BOUNDARY_TOLERANCES if benchmark.scores_boundaries else {}
        self.boundary_names = list(tolerances)
        self.boundaries: Any = nn.ModuleList(BoundaryF1(classes, tolerance) for tolerance in tolerances.values())

    def update(
        self, prediction: Tensor, target: Tensor, borders: tuple[Sequence[int], Sequence[int]] | None = None
    ) -> ImageCounts:
        """Count one image.

        Args:
            prediction: [H, W] labels 0..C-1 on any device.
            target: [H, W] labels 0..C-1 or 255 (ignored) on any device.
            borders: Rows and columns where its windows begin or end, see :func:`count_seams`; None where nobody knows
                of windows, and seams are not counted.

        Raises:
            DataError: The labels are none of these.
        """
        # Once for all three: bytes are checked and compared eight times as fast as int64.
        prediction, target = (in_bytes(labels.cpu()) for labels in (prediction, target))
        self.regions.update(prediction, target)
        tolerances = [metric.tolerance for metric in self.boundaries]
        counts = boundary_counts_at(tolerances, prediction, target, self.regions.num_classes)
        boundaries = {}
        for name, metric, counted in zip(self.boundary_names, self.boundaries, counts, strict=True):
            metric.update(prediction, target, counted)
            boundaries[name] = _sparse_rows(counted)
        confusion = self.regions.latest
        pairs = confusion.nonzero().T
        seams = None if borders is None else Seams(*count_seams(prediction, target, borders))
        return ImageCounts(_array(torch.cat([pairs, confusion[pairs[0], pairs[1]][None]])), boundaries, seams)

    def compute(self) -> tuple[Totals, dict[str, float]]:
        """Sums and headline scores as the metrics have them, over all devices, which all must call this."""
        with self.regions.sync_context():
            confusion = _array(self.regions.confusion)
        regions = self.regions.compute()
        scores = {
            "mIoU": regions.miou,
            "aAcc": regions.pixel_accuracy,
            "mAcc": regions.mean_accuracy,
            "mF1": regions.mean_f1,
        }
        boundaries = {}
        for name, metric in zip(self.boundary_names, self.boundaries, strict=True):
            with metric.sync_context():
                boundaries[name] = BoundaryTotals(
                    score_sum=int(metric.score_sum),
                    images=int(metric.images),
                    class_score_sum=_array(metric.class_score_sum),
                    class_images=_array(metric.class_images),
                    counts=_array(metric.counts),
                )
            scores[name] = metric.compute().mean
        return Totals(confusion, boundaries), scores


def notes_on(benchmark: Benchmark) -> list[str]:
    """What a reader must know of a benchmark's scores."""
    notes = list(benchmark.notes)
    if not benchmark.scores_boundaries:
        notes.append(
            f"Boundary F1 is not applicable to {benchmark.name}: its background is ignored, so the contours of objects "
            "against it cannot be scored."
        )
    return notes


def check_agreement(
    records: Iterable[ImageRecord], classes: Sequence[str], computed: tuple[Totals, Mapping[str, float]]
) -> None:
    """Hold what records add up to against what the metrics of the same images have.

    Args:
        records: Those of the very images that the metrics counted, on all devices.
        classes: C names.
        computed: ``Evaluation.compute()``.

    Raises:
        RunError: They differ, which no input may cause.
    """
    totals, scores = computed
    recorded = sum_up(records, len(classes), list(totals.boundaries))
    differing = [] if recorded.equals(totals) else ["the integer sums"]
    folded = scores_of(recorded, classes).metrics
    differing += [name for name, value in scores.items() if not _close(value, folded[name])]
    if differing:
        msg = (
            f"The records of this session and the metrics computed beside them differ in {', '.join(differing)}, so "
            "neither is reported. Either a record file was changed during the run, or this is a defect: please report "
            "it with the run's folder."
        )
        raise RunError(msg)


def _sparse_rows(counts: Tensor) -> npt.NDArray[np.int64]:
    """[C, 4] counts to [5, M]: class and counts of the rows that are not zero."""
    classes = counts.any(dim=1).nonzero().T
    return _array(torch.cat([classes, counts[classes[0]].T]))


def _array(tensor: Tensor) -> npt.NDArray[np.int64]:
    return tensor.cpu().numpy().astype(np.int64)


def _close(first: float, second: float) -> bool:
    return (math.isnan(first) and math.isnan(second)) or abs(first - second) <= ROUNDING
