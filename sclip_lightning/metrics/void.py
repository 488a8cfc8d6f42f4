"""Ignored pixels of a ground truth, and what lies nearest to them."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclip_lightning.metrics.contours import Mask, Places, around, square

__all__ = ["Filling", "fill_void"]


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
    return torch.from_numpy(Filling(labels, theta, ignore_index).within(theta).copy()).to(target.device)


class Filling:
    """A map whose void is filled up to one distance or another, found once for the largest.

    Args:
        labels: [H, W] of any integer dtype.
        theta: The largest distance in pixels.
        void: The label that is filled.
    """

    def __init__(self, labels: npt.NDArray[Any], theta: float, void: int) -> None:
        self._labels = labels
        self._places, self._squares, self._sources = _nearest_labelled(labels != void, math.floor(square(theta)))

    def within(self, theta: float) -> npt.NDArray[Any]:
        """[H, W] the map filled up to so many pixels; the very array given where there is nothing to fill."""
        near = self._squares <= square(theta)
        if not near.any():
            return self._labels
        filled = self._labels.copy()
        filled.ravel()[self._places[near]] = self._labels.ravel()[self._sources[near]]
        return filled


def _nearest_labelled(labelled: Mask, farthest: int) -> tuple[Places, npt.NDArray[np.int64], Places]:
    """The nearest labelled pixel of those that are not.

    Args:
        labelled: [H, W].
        farthest: Squared distance up to which it is looked for.

    Returns:
        [P] places, row by row, of pixels that may have one so near, [P] squares of the distances, larger than
        ``farthest`` where there is none, and [P] places of the nearest.
    """
    reach = math.isqrt(farthest)
    width = labelled.shape[1]
    places = np.flatnonzero(~labelled & around(labelled, reach))
    if not len(places):
        return places, places, places
    above, below = _nearest_rows(labelled, reach)
    gaps = np.pad(np.minimum(above, below), ((0, 0), (reach, reach)), constant_values=reach + 1).ravel()
    start = places + (places // width) * 2 * reach + reach
    # Of equally near pixels the one in the nearer column counts, then the left one: the last digit of what is compared.
    columns = np.array(sorted(range(-reach, reach + 1), key=abs))
    ranked = np.arange(reach + 2) ** 2 * len(columns)
    best = np.full(len(places), (farthest + 1) * len(columns))
    for rank, column in enumerate(columns.tolist()):
        np.minimum(best, ranked.take(gaps.take(start + column)) + (column**2 * len(columns) + rank), out=best)
    squares, ranks = np.divmod(best, len(columns))
    source = places.copy()
    found = np.flatnonzero(squares <= farthest)
    nearest = places[found] + columns[ranks[found]]
    up, down = (gap.ravel().take(nearest).astype(np.intp) for gap in (above, below))
    source[found] = nearest + np.where(up <= down, -up, down) * width
    return places, squares, source


def _nearest_rows(labelled: Mask, reach: int) -> npt.NDArray[Any]:
    """[2, H, W] how far above and below each pixel the nearest labelled one of its column is, at most reach + 1."""
    kind = np.dtype(np.int16 if reach < 2**13 else np.int32)
    gaps = np.empty((2, *labelled.shape), kind)
    for gap, known in ((gaps[0], labelled), (gaps[1, ::-1], labelled[::-1])):
        np.multiply(~known, kind.type(reach + 1), out=gap)
        step = 1
        while step <= min(reach, len(gap) - 1):  # what is known of so many rows is of twice as many in the next turn
            np.minimum(gap[step:], gap[:-step] + kind.type(step), out=gap[step:])
            step *= 2
    return gaps
