"""Confusion matrix of label maps, and the region scores that follow from it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclip_lightning.errors import DataError

__all__ = ["Codes", "RegionScores", "checked_labels", "confusion_matrix", "in_bytes", "scores"]

#: Values of a byte.
BYTES = 256
#: Labels in the smallest unsigned type that holds them: bytes are compared eight times as fast as int64.
Codes = npt.NDArray[np.unsignedinteger[Any]]


class RegionScores(NamedTuple):
    """Region scores of a data set, fractions in [0, 1], as mmsegmentation defines them.

    A named tuple, because torchmetrics cannot return a frozen dataclass from ``compute``.

    Attributes:
        iou: [C] float64, intersection over union; NaN for a class in neither map.
        precision: [C] float64; NaN for a class never predicted.
        recall: [C] float64, also called class accuracy; NaN for a class not in the ground truth.
        f1: [C] float64, 2 TP / (2 TP + FP + FN), also called Dice; NaN for a class without a hit, where precision and
            recall have no harmonic mean.
        miou: Mean of ``iou`` without NaN.
        mean_accuracy: Mean of ``recall`` without NaN (mAcc).
        mean_f1: Mean of ``f1`` without NaN.
        pixel_accuracy: Share of labelled pixels with the right class (aAcc); NaN if no pixel is labelled.
    """

    iou: Tensor
    precision: Tensor
    recall: Tensor
    f1: Tensor
    miou: float
    mean_accuracy: float
    mean_f1: float
    pixel_accuracy: float


def confusion_matrix(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Count every pair of true and predicted class.

    Args:
        prediction: Labels 0..C-1 of any integer dtype and any shape.
        target: Labels 0..C-1 or ``ignore_index``, of any integer dtype and the same shape.
        num_classes: C.
        ignore_index: Pixels with this target never count.

    Returns:
        [C, C] int64 on the CPU, where it is counted, rows ground truth, columns prediction.

    Raises:
        DataError: A label lies outside the table, ignored pixels of the prediction included, or the maps do not match.
    """
    predicted, true = checked_labels(prediction, target, num_classes, ignore_index)
    # Ignored pixels are a row of their own below the table, which is dropped: cheaper than selecting the others.
    cells = true.astype(np.min_scalar_type((num_classes + 1) * num_classes))
    cells *= num_classes
    cells += predicted
    table = np.bincount(cells.ravel(), minlength=(num_classes + 1) * num_classes)
    return torch.from_numpy(table.reshape(num_classes + 1, num_classes)[:-1])


def scores(confusion: Tensor) -> RegionScores:
    """Region scores from a confusion matrix summed over a data set.

    Args:
        confusion: [C, C] integers, rows ground truth, columns prediction.

    Returns:
        Scores, computed in float64 on the CPU, so that their digits do not depend on the device.
    """
    counts = confusion.cpu().double()
    hits, true, predicted = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
    iou = hits / (true + predicted - hits)
    recall = hits / true
    # As mmsegmentation's mean_iou metric (f_score in iou_metric.py): 2PR / (P + R) is 0 / 0 where P and R are both 0.
    f1 = torch.where(hits > 0, 2 * hits / (true + predicted), torch.nan)
    return RegionScores(
        iou=iou,
        precision=hits / predicted,
        recall=recall,
        f1=f1,
        miou=iou.nanmean().item(),
        mean_accuracy=recall.nanmean().item(),
        mean_f1=f1.nanmean().item(),
        pixel_accuracy=(hits.sum() / counts.sum()).item(),
    )


def in_bytes(labels: Tensor) -> Tensor:
    """The same labels as uint8 where these are larger integers on the CPU that all fit, else the map as it is."""
    if labels.dtype not in (torch.int16, torch.int32, torch.int64) or not labels.numel():
        return labels
    bits = np.bitwise_or.reduce(labels.numpy(), axis=None)  # one pass for both ends: a negative number sets the sign
    return labels.to(torch.uint8) if 0 <= bits <= 255 else labels


def checked_labels(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int) -> tuple[Codes, Codes]:
    """Both maps with every label in the table, and ``ignore_index`` in the target replaced by ``num_classes``.

    Raises:
        DataError: A label lies outside the table, or the maps differ in shape or are not integers.
    """
    if prediction.shape != target.shape or prediction.is_floating_point() or target.is_floating_point():
        raise DataError(
            f"Prediction and ground truth must be integer label maps of one size; found {prediction.dtype} of "
            f"{tuple(prediction.shape)} and {target.dtype} of {tuple(target.shape)}. Compare argmax labels at the size "
            "of the ground truth."
        )
    predicted, true = prediction.cpu().numpy(), target.cpu().numpy()
    for name, labels, allowed in (("prediction", predicted, ()), ("ground truth", true, (ignore_index,))):
        if wrong := _outside(labels, num_classes, allowed):
            found = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
            raise DataError(
                f"The {name} has labels outside the class table: found {found}, expected 0 to {num_classes - 1}, or "
                f"{ignore_index} for ignored pixels of the ground truth. Check that masks and class file belong to the "
                "same benchmark."
            )
    kind = np.min_scalar_type(num_classes)
    predicted = predicted.astype(kind, copy=False)
    if kind == np.uint8 and true.dtype == np.uint8:
        return predicted, _looked_up(true, {ignore_index: num_classes}, np.arange(BYTES))
    codes = true.astype(kind)
    codes[true == ignore_index] = num_classes
    return predicted, codes


def _outside(labels: npt.NDArray[np.integer[Any]], num_classes: int, allowed: Sequence[int]) -> list[int]:
    """The labels outside the table that are not allowed either."""
    if labels.dtype == np.uint8:
        if labels.max(initial=0) < num_classes:
            return []
        fine = dict.fromkeys([*range(num_classes), *allowed], 0)
        if not _looked_up(labels, fine, np.ones(BYTES)).any():
            return []
    outside = np.unique(labels[(labels < 0) | (labels >= num_classes)]).tolist()
    return [label for label in outside if label not in allowed]


def _looked_up(labels: npt.NDArray[Any], values: Mapping[int, int], others: npt.NDArray[Any]) -> Codes:
    """The value of each label, bytes both; many times as fast as numpy's choices of bytes.

    Args:
        labels: uint8 of any shape.
        values: Of some labels; what is no byte is left out.
        others: [256], of the other labels.
    """
    table = others.astype(np.uint8)
    for label, value in values.items():
        if 0 <= label < BYTES:
            table[label] = value
    found: Codes = np.asarray(cv2.LUT(np.atleast_2d(labels), table), np.uint8).reshape(labels.shape)
    return found
