"""Exact outlines of a mask along the edges of its pixels.

Where an outline turns, exactly one edge along a row and one along a column end. Sorted along its row, the first turning
point is joined to the second by an edge, the third to the fourth, and likewise along columns; following both kinds by
turns gives closed rings. Pixels that touch in a corner only are kept apart.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Polygon", "polygons_of", "simplified"]

#: [N, 2] (x, y) of corners of pixels, without the first again at the end.
Ring = npt.NDArray[np.int64]
#: A connected region: its outer ring and those of its holes.
Polygon = tuple[Ring, list[Ring]]


def polygons_of(mask: npt.NDArray[np.bool_]) -> list[Polygon]:
    """The regions of a mask, each of pixels that share edges.

    Args:
        mask: [H, W].

    Returns:
        Their polygons; corners are counted from the image's upper left one, x to the right and y down. The area of an
        outer ring less those of its holes is the number of pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    inside = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8), 1)
    regions = np.asarray(cv2.connectedComponents(inside, connectivity=4, ltype=cv2.CV_32S)[1])
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for ring, region in _rings(inside, regions):
        placed = ring + np.array([left, top])
        if _area(ring) > 0:
            outer[region] = placed
        else:
            holes.setdefault(region, []).append(placed)
    return [(ring, holes.get(region, [])) for region, ring in outer.items()]


def simplified(ring: Ring, tolerance: float) -> Ring:
    """A ring with fewer corners, of which none left out is further than ``tolerance`` pixels from the new outline.

    By the method of Ramer, Douglas and Peucker, from the ring's first corner and the one furthest from it. (OpenCV's
    approxPolyDP drops further points in the end, and was a fifth beyond its tolerance here.) A ring that would be left
    without an area stays as it is.
    """
    if tolerance == 0:
        return ring
    closed = np.concatenate([ring, ring[:1]])
    furthest = int(((closed - closed[0]) ** 2).sum(axis=1).argmax())
    kept = np.zeros(len(closed), bool)
    kept[[0, furthest, -1]] = True
    parts = [(0, furthest), (furthest, len(closed) - 1)]
    while parts:
        begin, end = parts.pop()
        if end - begin < 2:
            continue
        distances = _distances(closed[begin + 1 : end], closed[begin], closed[end])
        middle = begin + 1 + int(distances.argmax())
        if distances[middle - begin - 1] > tolerance:
            kept[middle] = True
            parts += [(begin, middle), (middle, end)]
    fewer = ring[kept[:-1]]
    return fewer if len(fewer) > 2 and _area(fewer) * _area(ring) > 0 else ring


def _distances(points: Ring, begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of points from the stretch between two others, in pixels."""
    along = (end - begin).astype(np.float64)
    offsets = points - begin
    place = np.clip(offsets @ along / max(float(along @ along), 1.0), 0, 1)
    rest = offsets - place[:, None] * along
    return np.hypot(rest[:, 0], rest[:, 1])


def _rings(inside: npt.NDArray[np.uint8], regions: npt.NDArray[Any]) -> Iterator[tuple[Ring, int]]:
    """Every ring with the number of its region, outer ones clockwise as seen on the screen.

    Args:
        inside: [H, W] 0 or 1, with a border of 0.
        regions: [H, W] number of the region of every pixel.
    """
    # Bits: the pixels to the upper left (1), upper right (2), lower left (4) and lower right (8) of a corner.
    kind = inside[:-1, :-1] | inside[:-1, 1:] << 1 | inside[1:, :-1] << 2 | inside[1:, 1:] << 3
    turns = np.isin(np.arange(16), (0, 15, 3, 12, 5, 10), invert=True)  # elsewhere the outline goes straight on
    y, x = np.nonzero(turns[kind])
    saddle = np.isin(kind[y, x], (6, 9))  # two pixels that touch here only: the point is in two rings or in one twice
    falling = kind[y, x] == 9
    # Nodes in the order of rows; of a saddle's two the first ends the edge to its left, the second begins the next.
    y, x, falling, twice = (np.repeat(values, 1 + saddle) for values in (y, x, falling, saddle))
    along_row = np.arange(len(y)) ^ 1
    second = np.zeros(len(y), bool)
    second[1:] = twice[1:] & (y[1:] == y[:-1]) & (x[1:] == x[:-1])
    # In the order of columns the first of the two ends the edge above it: that of the upper left pixel's corner if that
    # pixel is inside, else that of the upper right one's, whose edge along the row is the one to the right.
    order = np.lexsort((np.where(falling, second, ~second), y, x))
    along_column = np.empty(len(y), np.int64)
    along_column[order] = order[np.arange(len(y)) ^ 1]
    yield from _follow(x, y, along_row.tolist(), along_column.tolist(), inside, regions)


def _follow(
    x: npt.NDArray[np.int64],
    y: npt.NDArray[np.int64],
    along_row: list[int],
    along_column: list[int],
    inside: npt.NDArray[np.uint8],
    regions: npt.NDArray[Any],
) -> Iterator[tuple[Ring, int]]:
    seen = bytearray(len(along_row))
    for start in range(len(along_row)):
        if seen[start]:
            continue
        nodes: list[int] = []
        node = start
        while not seen[node]:
            other = along_row[node]
            seen[node] = seen[other] = 1
            nodes += node, other
            node = along_column[other]
        ring = np.stack([x[nodes], y[nodes]], axis=1)
        # The first edge runs to the right from the ring's uppermost left corner. Inside is below it, unless in a hole.
        row, column = int(ring[0, 1]), int(ring[0, 0]) + 1
        below = bool(inside[row + 1, column])
        region = int(regions[row + below, column])
        yield ring if below == (_area(ring) > 0) else ring[::-1], region


def _area(ring: Ring) -> float:
    """Area in pixels; positive where the ring runs clockwise as seen on the screen, y pointing down."""
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
