"""All scores of a run as a fold over its records: integer sums first, then float64.

The sums are those of ``metrics``; being integers they depend neither on the order of the images nor on how many
processes or sessions they were split over.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sclip_lightning.records.record import ImageRecord

__all__ = [
    "BoundaryTotals",
    "Scores",
    "Totals",
    "fold",
    "image_boundaries",
    "mean_scores",
    "region_scores",
    "scores_of",
    "sum_up",
]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: F values are summed as integer multiples of 2**-44; see ``metrics.boundary_f1``, whose constant this is.
FIXED_POINT = 2**44


@dataclass(frozen=True)
class BoundaryTotals:
    """Sums of one boundary score; the names are those of ``metrics.BoundaryF1``'s states.

    Attributes:
        score_sum: Sum of the images' scores, in multiples of 2**-44.
        images: Number of images with a score.
        class_score_sum: [C], sum of each class's F over images, likewise.
        class_images: [C], number of images with a ground-truth contour of the class.
        counts: [C, 4], contour pixels as in ``metrics.boundary_counts``.
    """

    score_sum: int
    images: int
    class_score_sum: Ints
    class_images: Ints
    counts: Ints


@dataclass(frozen=True)
class Totals:
    """Sums over images: [C, C] ``confusion``, rows ground truth, and the sums of each boundary score by name."""

    confusion: Ints
    boundaries: dict[str, BoundaryTotals]

    def equals(self, other: "Totals") -> bool:
        """Whether every integer is the same."""
        return (
            np.array_equal(self.confusion, other.confusion)
            and self.boundaries.keys() == other.boundaries.keys()
            and all(
                np.array_equal(value, vars(other.boundaries[name])[state])
                for name, boundary in self.boundaries.items()
                for state, value in vars(boundary).items()
            )
        )


@dataclass(frozen=True)
class Scores:
    """What a report shows. Scores are fractions in [0, 1], NaN where they do not exist.

    Attributes:
        metrics: Headline scores.
        classes: One row per class: index, name and its scores.
        notes: What a reader must know.
    """

    metrics: dict[str, float]
    classes: list[dict[str, Any]]
    notes: list[str]


def fold(records: Iterable[ImageRecord], classes: Sequence[str], boundaries: Sequence[str]) -> Scores:
    """The scores of images: ``scores_of(sum_up(...))``.

    Args:
        records: Scored images.
        classes: C names.
        boundaries: Names of the boundary scores in the records.
    """
    return scores_of(sum_up(records, len(classes), boundaries), classes)


def sum_up(records: Iterable[ImageRecord], num_classes: int, boundaries: Sequence[str]) -> Totals:
    """Add up the counts of images.

    Args:
        records: Scored images.
        num_classes: C.
        boundaries: Names of the boundary scores in the records.
    """
    records = list(records)
    confusion = np.zeros((num_classes, num_classes), np.int64)
    for record in records:
        target, prediction, pixels = record.counts.confusion
        confusion[target, prediction] += pixels  # no pair occurs twice in a record
    return Totals(confusion, {name: _sum_boundaries(records, num_classes, name) for name in boundaries})


def _sum_boundaries(records: Sequence[ImageRecord], num_classes: int, name: str) -> BoundaryTotals:
    class_score_sum, class_images = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    counts = np.zeros((num_classes, 4), np.int64)
    boundaries = image_boundaries(records, name)
    np.add.at(counts, boundaries.classes, boundaries.counts)
    scored = boundaries.scored
    np.add.at(class_score_sum, boundaries.classes[scored], boundaries.f1[scored])
    np.add.at(class_images, boundaries.classes[scored], 1)
    return BoundaryTotals(
        score_sum=int(boundaries.image_scores[boundaries.image_scored].sum()),
        images=int(boundaries.image_scored.sum()),
        class_score_sum=class_score_sum,
        class_images=class_images,
        counts=counts,
    )


@dataclass(frozen=True)
class ImageBoundaries:
    """Boundary F1 of N images, all F in multiples of 2**-44.

    Attributes:
        classes: [M], the class of each row: the rows of all images one after the other.
        counts: [M, 4], contour pixels as in ``metrics.boundary_counts``.
        scored: [M], whether the ground truth of the image has a contour of the class.
        f1: [M], F of the row; 0 where it is not scored.
        image_scores: [N], mean F over an image's scored rows, rounded down; 0 without any.
        image_scored: [N], whether the image has one.
    """

    classes: Ints
    counts: Ints
    scored: npt.NDArray[np.bool_]
    f1: Ints
    image_scores: Ints
    image_scored: npt.NDArray[np.bool_]


def image_boundaries(records: Sequence[ImageRecord], name: str) -> ImageBoundaries:
    """Boundary F1 of images, as ``metrics.BoundaryF1`` computes it.

    Args:
        records: Scored images.
        name: Of the boundary score.
    """
    tables = [record.counts.boundaries[name] for record in records]
    table = np.concatenate([np.zeros((5, 0), np.int64), *tables], axis=1)
    images = np.repeat(np.arange(len(tables)), [one.shape[1] for one in tables])
    counts = table[1:].T
    scored = counts[:, 1] > 0
    f1 = np.rint(np.nan_to_num(precision_recall_f1(counts)[2]) * FIXED_POINT).astype(np.int64)
    sums, rows = np.zeros(len(tables), np.int64), np.zeros(len(tables), np.int64)
    np.add.at(sums, images, f1)
    np.add.at(rows, images[scored], 1)
    return ImageBoundaries(table[0], counts, scored, f1, sums // np.maximum(rows, 1), rows > 0)


def precision_recall_f1(counts: Ints) -> tuple[Floats, Floats, Floats]:
    """Of [C, 4] contour counts, as ``metrics.precision_recall_f1``: three [C], NaN without ground-truth contour."""
    judged, true, judged_hits, true_hits = counts.astype(np.float64).T
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = true_hits / true
        precision = np.where(judged > 0, judged_hits / judged, (true_hits > 0).astype(np.float64))
        precision = np.where(true > 0, precision, np.nan)
        total = precision + recall
        return precision, recall, np.where(total == 0, total, 2 * precision * recall / total)


def region_scores(hits: Floats, true: Floats, predicted: Floats) -> dict[str, Floats]:
    """IoU, precision, recall and F1, each [..., C], from numbers of pixels of the same shape, as mmsegmentation.

    F1 is NaN for a class without a hit: the harmonic mean of precision 0 and recall 0 is 0 / 0.

    Args:
        hits: Pixels of the class in both maps.
        true: Pixels of the class in the ground truth.
        predicted: Labelled pixels of the class in the prediction.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "IoU": hits / (true + predicted - hits),
            "precision": hits / predicted,
            "recall": hits / true,
            "F1": np.where(hits > 0, 2 * hits / (true + predicted), np.nan),
        }


def mean_scores(hits: Floats, true: Floats, predicted: Floats) -> dict[str, Floats]:
    """mIoU, aAcc, mAcc and mF1, each [...]; arguments as ``region_scores``. NaN classes do not count."""
    scores = region_scores(hits, true, predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = hits.sum(axis=-1) / true.sum(axis=-1)
    return {
        "mIoU": _nanmean(scores["IoU"]),
        "aAcc": accuracy,
        "mAcc": _nanmean(scores["recall"]),
        "mF1": _nanmean(scores["F1"]),
    }


def scores_of(totals: Totals, classes: Sequence[str]) -> Scores:
    """The scores that follow from sums over images.

    Args:
        totals: The sums.
        classes: C names.
    """
    counts = totals.confusion.astype(np.float64)
    sums = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    metrics = {name: float(value) for name, value in mean_scores(*sums).items()}
    columns = region_scores(*sums)
    notes = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, boundary in totals.boundaries.items():
            metrics[name] = boundary.score_sum / boundary.images / FIXED_POINT if boundary.images else math.nan
            columns[name] = boundary.class_score_sum.astype(np.float64) / boundary.class_images / FIXED_POINT
            if boundary.images == 0:
                notes.append(f"{name} does not exist: no image has a contour between two labelled classes.")
    rows = [
        {"index": index, "class": name} | {column: float(values[index]) for column, values in columns.items()}
        for index, name in enumerate(classes)
    ]
    return Scores(metrics, rows, notes)


def _nanmean(values: Floats) -> Floats:
    """Mean over the last axis without NaN; NaN if there is nothing else."""
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(present, values, 0.0).sum(axis=-1) / present.sum(axis=-1))
