"""Boundary F1 of one image (Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013).

A contour pixel belongs to one class, so all classes are matched in one pass: contour pixels are numbered by class, then
column, then row, which makes every column of the disk around a pixel an interval of numbers, and one binary search per
column of the disk tells whether the other map has a contour pixel of the class in it. All of it is integer arithmetic
in torch on the device of the maps: distances are exact, and CPU and GPU count alike.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.metrics.confusion import VOID, checked_labels

__all__ = ["boundary_counts", "fill_void", "precision_recall_f1"]


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
    prediction, target = checked_labels(prediction, target, num_classes, ignore_index)
    height, width = target.shape
    theta = tolerance * math.hypot(height, width) if tolerance < 1 else tolerance
    if fill:
        target = fill_void(target, theta, VOID)

    farthest = max(math.ceil(_square(theta)) - 1, 0)
    margin = math.isqrt(farthest)
    true_at, predicted_at = _contours(target), _contours(prediction)
    true_class, predicted_class = target[true_at], prediction[predicted_at]
    true_place, predicted_place = _places(true_at, margin), _places(predicted_at, margin)
    plane = (height + margin) * (width + margin)
    true_key, predicted_key = true_class * plane + true_place, predicted_class * plane + predicted_place
    true_hit = _near(true_key, predicted_key, farthest, height + margin)
    predicted_hit = _near(predicted_key, true_key, farthest, height + margin)

    judged = target[predicted_at] != VOID
    missed = (judged & ~predicted_hit).nonzero().squeeze(1)
    judged[missed] = ~_near(predicted_place[missed], _places(target == VOID, margin), farthest, height + margin)

    counted = (
        predicted_class[judged],
        true_class,
        predicted_class[judged & predicted_hit],
        true_class[true_hit],
    )
    return torch.stack([torch.bincount(classes, minlength=num_classes) for classes in counted], dim=1)


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
    farthest = math.floor(_square(theta))
    margin = math.isqrt(farthest)
    height, width = target.shape
    labels = target.to(torch.int64, copy=True)
    labelled = labels != ignore_index
    if labelled.all():
        return labels.to(target.dtype)
    # First the nearest labelled row in every column; one of these is nearest of all.
    rows = torch.arange(height, device=target.device)[:, None]
    nowhere = height + margin
    above = torch.where(labelled, rows, -nowhere).cummax(dim=0).values
    below = torch.where(labelled, rows, nowhere).flip(0).cummin(dim=0).values.flip(0)
    nearest_row = F.pad(torch.where(rows - above <= below - rows, above, below), (margin, margin), value=nowhere)
    y, x = (~labelled).nonzero().unbind(dim=1)
    nearest = torch.full_like(y, farthest + 1)
    source = torch.zeros_like(y)
    for step, _ in _runs(farthest):
        row = nearest_row[y, x + (margin + step)]
        distance = (row - y) ** 2 + step**2
        source = torch.where(distance < nearest, row * width + x + step, source)
        nearest = torch.minimum(distance, nearest)
    near = nearest <= farthest
    labels[y[near], x[near]] = labels.take(source[near])
    return labels.to(target.dtype)


def _contours(labels: Tensor) -> Tensor:
    """[H, W] bool, pixels with a 4-neighbour of another label, neither of them void."""
    contour = torch.zeros_like(labels, dtype=torch.bool)
    for image, marked in ((labels, contour), (labels.T, contour.T)):
        differs = (image[1:] != image[:-1]) & (image[1:] != VOID) & (image[:-1] != VOID)
        marked[1:] |= differs
        marked[:-1] |= differs
    return contour


def _square(theta: float) -> float:
    """Square of a distance to compare with squared pixel distances.

    These are integers, and 0.0075 of a diagonal often is the root of one: rounding keeps ties ties.
    """
    return round(theta**2, 9)


def _runs(farthest: int) -> list[tuple[int, int]]:
    """Disk of all pixels with squared distance up to ``farthest``, as (column, half the height) of its columns."""
    reach = math.isqrt(farthest)
    columns = sorted(range(-reach, reach + 1), key=abs)
    return [(column, math.isqrt(farthest - column**2)) for column in columns]


def _places(mask: Tensor, margin: int) -> Tensor:
    """Numbers of the true pixels, counted down the columns, with a margin between one column and the next."""
    rows, columns = mask.nonzero().unbind(dim=1)
    return columns * (mask.shape[0] + margin) + rows


def _near(queries: Tensor, keys: Tensor, farthest: int, stride: int) -> Tensor:
    """Whether any key lies in the disk around each query.

    A column of the disk is an interval of numbers, and the first key from its start on tells whether it holds one.

    Args:
        queries: [P] int64 places, or places in the plane of a class.
        keys: [K] int64, likewise.
        farthest: Largest squared distance that counts.
        stride: Difference between neighbours in a row.

    Returns:
        [P] bool.
    """
    behind_all = keys.new_full((1,), torch.iinfo(keys.dtype).max)
    keys = torch.cat([keys, behind_all]).sort().values
    near = torch.zeros_like(queries, dtype=torch.bool)
    searching = torch.arange(len(queries), device=queries.device)
    for column, half in _runs(farthest):
        start = queries[searching] + (column * stride - half)
        found = keys[torch.searchsorted(keys, start)] <= start + 2 * half
        near[searching[found]] = True
        searching = searching[~found]
    return near
