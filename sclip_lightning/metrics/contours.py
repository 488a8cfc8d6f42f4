"""Contours of label maps, and how near their pixels come to each other: integer arithmetic on bytes.

Maps have a margin all around, so that an offset in the image is one number, and distances are exact.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Contour", "Labels", "Mask", "Places", "around", "candidates", "framed", "match", "offsets", "square"]

Labels = npt.NDArray[np.unsignedinteger[Any]]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

#: Times as many offsets are looked at in each next pass: most pixels find their match next to them, and are left alone
#: after the pass in which they do.
GROWTH = 2
#: Groups of labels that are told apart where most are only to be ruled out.
GROUPS = 64
#: Shortest side of the cells that labels are ruled out by, in pixels: each takes ``GROUPS`` bytes.
CELL = 8
#: Pixels that are looked up together; their places, of 8 bytes each, then stay in a core's cache.
TOGETHER = 2**16


class Contour:
    """Pixels with a 4-neighbour of another label, neither of them void.

    Args:
        frame: A map in a frame of void, see ``framed``.
        void: The label of pixels that are no class.

    Attributes:
        plane: [N] the labels of contour pixels in the map in one line; all bits set elsewhere.
        at: [P] the places of contour pixels, rising.
        labels: [P] their labels.
        width: Places in a row of the frame.
    """

    def __init__(self, frame: Labels, void: int) -> None:
        labels = frame.ravel()
        known, contour = labels != void, np.zeros(labels.shape, np.bool_)
        for step in (1, frame.shape[1]):
            differs = (labels[step:] != labels[:-step]) & known[step:] & known[:-step]
            contour[step:] |= differs
            contour[:-step] |= differs
        nothing = contour.astype(labels.dtype)  # a choice between two values takes numpy twenty times as long
        nothing -= 1
        self.plane: Labels = labels | nothing
        self.width = frame.shape[1]
        self.at: Places = np.flatnonzero(contour)
        self.labels: Labels = labels[self.at]


def square(theta: float) -> float:
    """Square of a distance to compare with squared pixel distances.

    These are integers, and 0.0075 of a diagonal often is the root of one: rounding keeps ties ties.
    """
    return round(theta**2, 9)


def framed(labels: npt.NDArray[Any], margin: int, outside: int) -> npt.NDArray[Any]:
    """A map in a frame that no offset within the margin leaves: rows at both ends, columns at the right alone.

    A place in the frame is a number, row by row; what lies left of a row is the right margin of the row above.
    """
    height, width = labels.shape
    frame = np.full((height + 2 * (margin + 1), width + margin + 1), outside, labels.dtype)
    frame[margin + 1 : margin + 1 + height, :width] = labels
    return frame


def around(mask: Mask, reach: int) -> Mask:
    """Pixels with a true one at most ``reach`` rows and columns away; a cheap bound for what lies within a disk."""
    block = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), block, borderType=cv2.BORDER_CONSTANT)).view(np.bool_)


def candidates(contour: Contour, other: Contour, reach: int) -> Places:
    """Those contour pixels whose label may occur within so many rows and columns in another contour.

    Most others are left out, not all. Both contours are sorted into square cells at least as wide as what is to be
    reached: a match lies in the same cell or one of the eight around it.

    Returns:
        [Q] numbers of pixels of the contour.
    """
    side = max(reach + 1, CELL)
    rows, columns, groups = _cells(contour, side)
    other_rows, other_columns, other_groups = _cells(other, side)
    height = max(int(found.max(initial=0)) for found in (rows, other_rows)) + 3
    seen = np.zeros((height, other.width // side + 3, GROUPS), np.bool_)
    seen[other_rows + 1, other_columns + 1, other_groups] = True
    seen = seen[:-2] | seen[1:-1] | seen[2:]
    seen = seen[:, :-2] | seen[:, 1:-1] | seen[:, 2:]
    return np.flatnonzero(seen[rows, columns, groups])


def _cells(contour: Contour, side: int) -> tuple[Places, Places, Labels]:
    rows, columns = np.divmod(contour.at, contour.width)
    return rows // side, columns // side, contour.labels % GROUPS


def offsets(farthest: int, stride: int) -> tuple[Places, Places]:
    """Offsets to all pixels with squared distance up to ``farthest`` in a frame of such rows, near ones first.

    Returns:
        [K] offsets, [K] squared distances.
    """
    rows, columns, squares = _disk(farthest)
    return rows * stride + columns, squares


@lru_cache(16)
def _disk(farthest: int) -> tuple[Places, Places, Places]:
    reach = math.isqrt(farthest)
    rows, columns = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1) - reach
    squares = rows**2 + columns**2
    order = squares.argsort(kind="stable")[: np.count_nonzero(squares <= farthest)]
    return rows[order], columns[order], squares[order]


def match(
    places: Places, wanted: npt.NDArray[Any], plane: npt.NDArray[Any], steps: Places, bounds: Sequence[int]
) -> Places:
    """Within how many steps one leads from a place to the value that is wanted there.

    Args:
        places: [P] in the plane.
        wanted: [P].
        plane: [N], a framed map in one line.
        steps: [K] offsets, near ones first.
        bounds: Rising numbers of steps, at most K, one of which is the answer.

    Returns:
        [P] one of the bounds, or more than any of them where no step does.
    """
    within = np.full(len(places), bounds[-1] + 1)
    searching = np.arange(len(places))
    begin = 0
    for bound in bounds:
        while begin < bound and len(searching):
            end = min(1 + GROWTH * begin, bound)
            found = _any(places, wanted, plane, steps[begin:end, None])
            within[searching[found]] = bound
            missed = np.flatnonzero(~found)
            searching, places, wanted = searching.take(missed), places.take(missed), wanted.take(missed)
            begin = end
    return within


def _any(places: Places, wanted: npt.NDArray[Any], plane: npt.NDArray[Any], steps: Places) -> Mask:
    """Whether any of a few steps, [k, 1], leads from a place to what is wanted there."""
    found = np.empty(len(places), np.bool_)
    block = max(TOGETHER // len(steps), 1)
    for begin in range(0, len(places), block):
        part = slice(begin, begin + block)
        np.logical_or.reduce(plane.take(places[part] + steps) == wanted[part], axis=0, out=found[part])
    return found
