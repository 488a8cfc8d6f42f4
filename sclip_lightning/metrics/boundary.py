"""Boundary F1 of one image (Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013).

A contour pixel belongs to one class, so all classes are matched in one pass: each contour pixel looks for its label in
the other map's contours, at rising distance, and is done once it has found one. All of it is integer arithmetic on the
CPU, on maps of one byte a pixel with a margin all around: an offset in the image then is one number, and distances are
exact.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.metrics.confusion import Codes, checked_labels

__all__ = ["boundary_counts", "fill_void", "precision_recall_f1"]

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


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
    if not tolerance > 0:
        raise ConfigError(
            f"The boundary tolerance is {tolerance}; expected a positive number. Give a fraction of the image diagonal "
            "below 1, such as 0.0075, or a number of pixels."
        )
    predicted, true = checked_labels(prediction, target, num_classes, ignore_index)
    theta = tolerance * math.hypot(*true.shape) if tolerance < 1 else tolerance
    if fill:
        true = _filled(true, theta, num_classes)

    farthest = max(math.ceil(_square(theta)) - 1, 0)
    margin = math.isqrt(farthest)
    true_map, predicted_map = (_with_margin(labels, margin, num_classes) for labels in (true, predicted))
    steps = _steps(farthest, true_map.shape[1])
    true_at, true_contour = _contours(true_map, num_classes)
    predicted_at, predicted_contour = _contours(predicted_map, num_classes)
    true_class, predicted_class = true_contour[true_at], predicted_contour[predicted_at]
    occurs = np.zeros((2, num_classes), np.bool_)
    occurs[0, true_class] = occurs[1, predicted_class] = True
    in_both = occurs[0] & occurs[1]  # classes that the other contour has nowhere are not looked for
    true_hit, predicted_hit = in_both[true_class], in_both[predicted_class]
    true_hit[true_hit] = _near(true_at[true_hit], true_class[true_hit], predicted_contour, steps)
    predicted_hit[predicted_hit] = _near(
        predicted_at[predicted_hit], predicted_class[predicted_hit], true_contour, steps
    )

    judged = true_map.ravel()[predicted_at] != num_classes
    void = _with_margin(true == num_classes, margin, False)
    missed = np.flatnonzero(judged & ~predicted_hit & _around(void, margin).ravel()[predicted_at])
    judged[missed] = ~_near(predicted_at[missed], np.ones_like(missed, dtype=np.bool_), void.ravel(), steps)

    counted = (
        predicted_class[judged],
        true_class,
        predicted_class[judged & predicted_hit],
        true_class[true_hit],
    )
    counts = [np.bincount(classes, minlength=num_classes) for classes in counted]
    return torch.from_numpy(np.stack(counts, axis=1).astype(np.int64, copy=False))


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


def fill_void(target: Tensor, theta: float, ignore_index: int = 255) -> Tensor:
    """Give ignored pixels the label of the nearest labelled pixel, if it is at most ``theta`` pixels away.

    Some benchmarks, PASCAL VOC for one, ignore a ring around every object: without this there is no contour to score.
    Distances are Euclidean between pixel centres and exact; of equally near pixels the one in the nearer column counts,
    then the left one, then the upper one.

    Args:
        target: [H, W] labels of any integer dtype.
        theta: Distance in pixels.
        ignore_index: Label of ignored pixels; those farther inside keep it.

    Returns:
        [H, W] of the dtype of ``target``.
    """
    labels = target.cpu().numpy()
    return torch.from_numpy(_filled(labels, theta, ignore_index).copy()).to(target.device)


def _filled(labels: npt.NDArray[Any], theta: float, void: int) -> npt.NDArray[Any]:
    """``fill_void`` of arrays; the very array where there is nothing to fill."""
    labelled = labels != void
    if labelled.all():
        return labels
    farthest = math.floor(_square(theta))
    reach = math.isqrt(farthest)
    height, width = labels.shape
    # First the nearest labelled row in every column; one of these is nearest of all.
    kind = np.int16 if height + reach < 2**14 else np.int32
    rows, nowhere = np.arange(height, dtype=kind)[:, None], height + reach
    above = np.where(labelled, rows, kind(-nowhere))
    below = np.where(labelled, rows, kind(nowhere))
    for row in range(1, height):  # twice as fast as numpy's own accumulate, which goes down each column by itself
        np.maximum(above[row], above[row - 1], out=above[row])
        np.minimum(below[-row - 1], below[-row], out=below[-row - 1])
    nearest_row = np.where(rows - above <= below - rows, above, below)
    nearest_row = np.pad(nearest_row, ((0, 0), (reach, reach)), constant_values=nowhere)

    places = np.flatnonzero(~labelled & _around(labelled, reach))
    y, x = np.divmod(places, width)
    start = y * nearest_row.shape[1] + x + reach
    y, x = y.astype(np.int32), x.astype(np.int32)
    nearest = np.full(len(places), farthest + 1, np.int32)
    source = places.copy()
    for step in sorted(range(-reach, reach + 1), key=abs):
        row = nearest_row.take(start + step).astype(np.int32)
        distance = (row - y) ** 2 + step**2
        nearer = distance < nearest
        np.copyto(nearest, distance, where=nearer)
        np.copyto(source, row * width + (x + step), where=nearer)
    filled = labels.copy()
    filled.ravel()[places] = labels.ravel()[source]
    return filled


def _square(theta: float) -> float:
    """Square of a distance to compare with squared pixel distances.

    These are integers, and 0.0075 of a diagonal often is the root of one: rounding keeps ties ties.
    """
    return round(theta**2, 9)


def _with_margin(labels: npt.NDArray[Any], margin: int, outside: int) -> npt.NDArray[Any]:
    """A map in a frame that no offset within the margin leaves: rows at both ends, columns at the right alone.

    A place in the frame is a number, row by row; what lies left of a row is the right margin of the row above.
    """
    height, width = labels.shape
    framed = np.full((height + 2 * (margin + 1), width + margin + 1), outside, labels.dtype)
    framed[margin + 1 : margin + 1 + height, :width] = labels
    return framed


def _around(mask: Mask, reach: int) -> Mask:
    """Pixels with a true one at most ``reach`` rows and columns away; a cheap bound for what lies within a disk."""
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT)).view(np.bool_)


def _contours(framed: Codes, void: int) -> tuple[Places, Codes]:
    """Places of the pixels with a 4-neighbour of another label, neither of them void; and their labels, else void."""
    labels = framed.ravel()
    known, contour = labels != void, np.zeros(labels.shape, np.bool_)
    for step in (1, framed.shape[1]):
        differs = (labels[step:] != labels[:-step]) & known[step:] & known[:-step]
        contour[step:] |= differs
        contour[:-step] |= differs
    return np.flatnonzero(contour), np.where(contour, labels, labels.dtype.type(void))


def _steps(farthest: int, stride: int) -> list[list[int]]:
    """Offsets to all pixels with squared distance up to ``farthest``, grouped by distance, near ones first."""
    return [(rows * stride + columns).tolist() for rows, columns in _rings(farthest)]


@lru_cache(16)
def _rings(farthest: int) -> list[tuple[Places, Places]]:
    reach = math.isqrt(farthest)
    rows, columns = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1) - reach
    squares = rows**2 + columns**2
    order = squares.argsort(kind="stable")[: np.count_nonzero(squares <= farthest)]
    rings = np.split(order, np.flatnonzero(np.diff(squares[order])) + 1)
    return [(rows[ring], columns[ring]) for ring in rings]


def _near(places: Places, wanted: npt.NDArray[Any], plane: npt.NDArray[Any], steps: Sequence[Sequence[int]]) -> Mask:
    """Whether any step leads from a place to the value wanted there.

    Args:
        places: [P] in the plane.
        wanted: [P].
        plane: [N], a framed map in one line.
        steps: Offsets; after each group of them, those places are left alone that have found what they want.

    Returns:
        [P] bool.
    """
    near = np.zeros(len(places), np.bool_)
    searching = np.arange(len(places))
    for offsets in steps:
        found = plane.take(places + offsets[0]) == wanted
        for offset in offsets[1:]:
            found |= plane.take(places + offset) == wanted
        if found.any():
            near[searching[found]] = True
            searching, places, wanted = (of_each[~found] for of_each in (searching, places, wanted))
    return near
