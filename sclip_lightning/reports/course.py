"""How scores came about: the headline scores over the first images, up to all of them. Imports numpy only."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sclip_lightning.records import ImageRecord
from sclip_lightning.records.confusions import rank
from sclip_lightning.records.fold import FIXED_POINT, image_boundaries, mean_scores, region_scores
from sclip_lightning.reports.comparison import tabulate

__all__ = ["ClassImages", "course", "images_of_classes"]

#: Most points of a course.
POINTS = 50


class ClassImages(NamedTuple):
    """Images in which a class is segmented worst and as usual: ids, and IoU of the class there, as fractions."""

    name: str
    images: int
    worst: str
    worst_iou: float
    median: str
    median_iou: float


def course(
    records: Sequence[ImageRecord], num_classes: int, boundaries: Sequence[str]
) -> list[tuple[int, dict[str, float]]]:
    """Headline scores over the first images, with the number of these; those of the last point are the result's.

    Sums are integers, as those of ``fold`` are, and the same ratios are taken of them.

    Args:
        records: Scored images, in the order in which they count.
        num_classes: C.
        boundaries: Names of the boundary scores in the records.
    """
    if not records:
        return []
    table = tabulate(records, num_classes, ())
    last = np.unique(np.linspace(0, len(records), min(POINTS, len(records)) + 1).round().astype(int)[1:]) - 1
    scores = mean_scores(*(counts.cumsum(axis=0)[last] for counts in (table.hits, table.true, table.predicted)))
    for name in boundaries:
        boundary = image_boundaries(records, name)
        sums, images = boundary.image_scores.cumsum()[last], boundary.image_scored.cumsum()[last]
        with np.errstate(invalid="ignore"):
            scores[name] = sums / images / FIXED_POINT
    return [
        (int(index) + 1, {name: float(values[point]) for name, values in scores.items()})
        for point, index in enumerate(last)
    ]


def images_of_classes(records: Sequence[ImageRecord], classes: Sequence[str]) -> list[ClassImages]:
    """Of every class in any ground truth: the image where it is segmented worst, and the one in the middle.

    Args:
        records: Scored images, in the data set's order: of equal scores the first counts as lower.
        classes: C names.
    """
    table = tabulate(records, len(classes), ())
    ious: npt.NDArray[np.float64] = region_scores(table.hits, table.true, table.predicted)["IoU"]
    found = []
    for index, name in enumerate(classes):
        present = np.flatnonzero(table.true[:, index] > 0).tolist()
        if present:
            (worst,), (median,) = rank({place: float(ious[place, index]) for place in present}, 1, 1)
            values = float(ious[worst, index]), float(ious[median, index])
            found.append(ClassImages(name, len(present), records[worst].id, values[0], records[median].id, values[1]))
    return found
