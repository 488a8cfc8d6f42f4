"""Boundary F1 of one image (Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013).

A contour pixel belongs to one class, so all classes are matched in one pass: each contour pixel looks for its label in
the other map's contours, at rising distance, and is done once it has found one.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.metrics.confusion import Codes, checked_labels
from sclip_lightning.metrics.contours import Contour, Mask, Places, around, candidates, framed, match, offsets, square
from sclip_lightning.metrics.void import Filling

__all__ = ["boundary_counts", "boundary_counts_at", "precision_recall_f1"]


def boundary_counts(
    prediction: Tensor,
    target: Tensor,
    num_classes: int,
    tolerance: float = 0.0075,
    ignore_index: int = 255,
    fill: bool = True,
) -> Tensor:
    """Count the contour pixels of one image and those hit by the other map's contour of the same class.

    A contour pixel has a 4-neighbour inside the image with another label; in the ground truth both must be labelled.
    It is hit if the other map has a contour pixel of its class nearer than the tolerance. A predicted one is not judged
    if it lies on an ignored pixel, or is no hit and lies nearer than the tolerance to one.

    Args:
        prediction: [H, W] labels 0..C-1 of any integer dtype.
        target: [H, W] labels 0..C-1 or ``ignore_index``, of any integer dtype.
        num_classes: C.
        tolerance: Below 1 a fraction of the image diagonal, from 1 on a distance in pixels.
        ignore_index: Label of ignored pixels of the target.
        fill: Apply ``fill_void`` with the tolerance to the target first.

    Returns:
        [C, 4] int64: judged predicted contour pixels, ground-truth contour pixels, judged predicted hits, ground-truth
        hits.

    Raises:
        DataError: A label lies outside the table, or the maps do not match.
        ConfigError: The tolerance is not positive.
    """
    return boundary_counts_at([tolerance], prediction, target, num_classes, ignore_index, fill)[0]


def boundary_counts_at(
    tolerances: Sequence[float],
    prediction: Tensor,
    target: Tensor,
    num_classes: int,
    ignore_index: int = 255,
    fill: bool = True,
) -> list[Tensor]:
    """``boundary_counts`` at several tolerances, which share most of the work.

    Args:
        tolerances: Any number, each as for ``boundary_counts``, as are the other arguments.
        prediction: [H, W].
        target: [H, W].
        num_classes: C.
        ignore_index: Label of ignored pixels of the target.
        fill: Apply ``fill_void`` with each tolerance first.

    Returns:
        [C, 4] int64 for each tolerance.

    Raises:
        DataError: As ``boundary_counts``.
        ConfigError: Likewise.
    """
    if not tolerances:
        return []
    for tolerance in tolerances:
        if not tolerance > 0:
            raise ConfigError(
                f"The boundary tolerance is {tolerance}; expected a positive number. Give a fraction of the image "
                "diagonal below 1, such as 0.0075, or a number of pixels."
            )
    predicted, true = checked_labels(prediction, target, num_classes, ignore_index)
    diagonal = math.hypot(*true.shape)
    thetas = [one * diagonal if one < 1 else one for one in tolerances]
    matching = _Matching(predicted, true, num_classes, thetas, fill)
    return [torch.from_numpy(matching.counts(theta)) for theta in thetas]


def precision_recall_f1(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and their harmonic mean from counts of one image, or summed over images.

    Args:
        counts: [C, 4] int64 as ``boundary_counts`` returns.

    Returns:
        Three [C] float64 in [0, 1], NaN for a class without ground-truth contour. Where no predicted pixel was judged,
        precision is 1 if a ground-truth pixel was hit and else 0; F is 0 where precision and recall are.
    """
    judged, true, judged_hits, true_hits = counts.double().unbind(dim=1)
    recall = true_hits / true
    precision = torch.where(judged > 0, judged_hits / judged, (true_hits > 0).double()).where(true > 0, torch.nan)
    total = precision + recall
    return precision, recall, torch.where(total == 0, total, 2 * precision * recall / total)


class _Matching:
    """The contours of two maps, matched at the largest of some distances, from which the others follow.

    A ground truth that is filled less far has other contours near its void: only there is matched again.

    Args:
        predicted: [H, W].
        true: [H, W], void being ``classes``.
        classes: C.
        thetas: The distances in pixels.
        fill: Fill void up to the distance in question.
    """

    def __init__(self, predicted: Codes, true: Codes, classes: int, thetas: Sequence[float], fill: bool) -> None:
        self._classes, self._true, theta = classes, true, max(thetas)
        self._filling = Filling(true, theta, classes) if fill else None
        farthest = max(math.ceil(square(theta)) - 1, 0)  # a hit is nearer than the distance
        self._margin = math.isqrt(farthest)
        frame = framed(predicted, self._margin, classes)
        self._steps, self._squares = offsets(farthest, frame.shape[1])
        self._bounds = sorted({self._steps_within(theta) for theta in thetas})
        self._shape, self._predicted = frame.shape, Contour(frame, classes)
        self._theta, self._filled = theta, self._truth(theta)
        self._void, self._widest = self._drawn(self._filled)
        #: Steps within which each contour pixel has its match, in both directions.
        self._predicted_steps = self._match(self._predicted, self._widest)
        self._true_steps = self._match(self._widest, self._predicted)

    def counts(self, theta: float) -> npt.NDArray[np.int64]:
        """[C, 4] of ``boundary_counts`` at one of the distances."""
        filled = self._filled if theta == self._theta else self._truth(theta)
        void, true = (self._void, self._widest) if filled is self._filled else self._drawn(filled)
        steps = self._steps_within(theta)
        predicted_hit, true_hit = self._hits(true, steps)
        at = self._predicted.at
        judged = ~void.ravel()[at]
        near_void = around(void, self._reach(steps)).ravel()
        missed = np.flatnonzero(judged & ~predicted_hit & near_void[at])
        judged[missed] = ~self._near(at[missed], np.ones(len(missed), np.bool_), void.ravel(), steps)
        counted = (
            self._predicted.labels[judged],
            true.labels,
            self._predicted.labels[judged & predicted_hit],
            true.labels[true_hit],
        )
        return np.stack([np.bincount(labels, minlength=self._classes) for labels in counted], axis=1)

    def _truth(self, theta: float) -> Codes:
        """The ground truth filled up to a distance, the very array given where there is nothing to fill."""
        return self._true if self._filling is None else self._filling.within(theta)

    def _drawn(self, filled: Codes) -> tuple[Mask, Contour]:
        """What is void in a ground truth, in a frame that is not, and its contour."""
        void = framed(filled == self._classes, self._margin, False)
        return void, Contour(framed(filled, self._margin, self._classes), self._classes)

    def _match(self, contour: Contour, other: Contour) -> Places:
        """[P] steps within which each pixel of a contour has a match in the other one."""
        able = candidates(contour, other, self._margin)
        within = np.full(len(contour.at), self._bounds[-1] + 1)
        within[able] = match(contour.at[able], contour.labels[able], other.plane, self._steps, self._bounds)
        return within

    def _hits(self, true: Contour, steps: int) -> tuple[Mask, Mask]:
        """Which predicted contour pixels, and which of a ground truth, have a match within a number of steps."""
        predicted = self._predicted
        predicted_hit = self._predicted_steps <= steps
        if true is self._widest:
            return predicted_hit, self._true_steps <= steps
        changed = true.plane != self._widest.plane
        again = around(changed.reshape(self._shape), self._reach(steps)).ravel()[predicted.at]
        predicted_hit[again] = self._near(predicted.at[again], predicted.labels[again], true.plane, steps)
        new = changed[true.at]
        true_hit = np.empty(len(true.at), np.bool_)
        true_hit[~new] = self._true_steps[~changed[self._widest.at]] <= steps
        true_hit[new] = self._near(true.at[new], true.labels[new], predicted.plane, steps)
        return predicted_hit, true_hit

    def _near(self, places: Places, wanted: npt.NDArray[Any], plane: npt.NDArray[Any], steps: int) -> Mask:
        """[P] whether the value that is wanted at a place lies within a number of steps."""
        return match(places, wanted, plane, self._steps, [steps]) <= steps

    def _steps_within(self, theta: float) -> int:
        """Number of steps to the pixels nearer than a distance, which at least a pixel itself is."""
        return int(np.searchsorted(self._squares, square(theta)))

    def _reach(self, steps: int) -> int:
        """Rows and columns that so many steps lead away at most."""
        return math.isqrt(self._squares[steps - 1])
