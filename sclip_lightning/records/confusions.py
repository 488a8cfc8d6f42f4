"""Which classes are taken for which, and how well single images are segmented, from counts of pixels.

Imports numpy only.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Confusion", "image_miou", "largest_confusions", "most_confused", "rank"]

Ints = npt.NDArray[np.int64]


class Confusion(NamedTuple):
    """Pixels of one class that were taken for another.

    Attributes:
        target: The true class.
        prediction: The class they were taken for.
        pixels: How many.
        of_class: Their share of all pixels of the true class, in [0, 1].
        of_errors: Their share of all wrong pixels, in [0, 1].
    """

    target: int
    prediction: int
    pixels: int
    of_class: float
    of_errors: float


def image_miou(pairs: Ints) -> float:
    """Mean IoU over the classes that an image has in ground truth or prediction; NaN without a labelled pixel.

    Args:
        pairs: [3, K] true class, predicted class and number of pixels; see ``ImageCounts``.
    """
    target, prediction, pixels = pairs
    if not len(pixels):
        return float("nan")
    size = int(max(target.max(), prediction.max())) + 1
    right = target == prediction
    hits, true, predicted = (
        np.bincount(classes, counts, size)
        for classes, counts in ((target[right], pixels[right]), (target, pixels), (prediction, pixels))
    )
    union = true + predicted - hits
    return float(np.mean(hits[union > 0] / union[union > 0]))


def rank(scores: Mapping[int, float], worst: int, median: int) -> tuple[list[int], list[int]]:
    """Choose the images with the lowest scores and those in the middle.

    Args:
        scores: By index of the image; NaN where it has none. Of equal scores the lower index comes first.
        worst: How many of the lowest.
        median: How many around the median.

    Returns:
        Indices of the worst, the worst first, and of the median ones, rising; fewer where there are fewer.
    """
    order = sorted((index for index, score in scores.items() if score == score), key=lambda i: (scores[i], i))
    start = max((len(order) - median) // 2, 0)
    return order[:worst], order[start : start + median]


def largest_confusions(confusion: Ints, count: int) -> list[Confusion]:
    """The pairs of different classes with the most pixels, the largest first.

    Args:
        confusion: [C, C] pixels, rows ground truth, columns prediction.
        count: How many pairs at most; those without pixels are left out.
    """
    wrong = _wrong(confusion)
    totals, errors = confusion.sum(axis=1), wrong.sum()
    rows, columns = np.unravel_index(np.argsort(-wrong, axis=None, kind="stable")[:count], wrong.shape)
    return [
        Confusion(row, column, int(wrong[row, column]), wrong[row, column] / totals[row], wrong[row, column] / errors)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if wrong[row, column] > 0
    ]


def most_confused(confusion: Ints, count: int) -> Sequence[int]:
    """The classes with the most wrong pixels, of ground truth and prediction together, in rising order.

    Args:
        confusion: [C, C] pixels, rows ground truth, columns prediction.
        count: How many at most.
    """
    wrong = _wrong(confusion)
    order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
    return sorted(order[:count].tolist())


def _wrong(confusion: Ints) -> Ints:
    return confusion * (1 - np.eye(len(confusion), dtype=np.int64))
