"""Run lengths of masks, in the compressed form that COCO's tools read.

The form is that of COCO's mask API: runs of zeros and ones by turns, column by column, a run of zeros first; of every
run but the first three the difference to the run two before; each number in groups of 5 bits, the lowest first, with a
bit that says whether more follow, as characters from "0" on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sclip_lightning.exports.label_maps import Labels

__all__ = ["ClassRuns", "compress", "runs_of_classes"]


@dataclass(frozen=True)
class ClassRuns:
    """Where a class lies in a label map.

    Attributes:
        counts: Lengths of runs without and with the class by turns, column by column; the first may be 0.
        area: Number of its pixels.
        box: x, y, width and height of the smallest box around it, in pixels.
    """

    counts: npt.NDArray[np.int64]
    area: int
    box: tuple[int, int, int, int]


def runs_of_classes(labels: Labels) -> dict[int, ClassRuns]:
    """The runs of every class that occurs, in one pass.

    Args:
        labels: [H, W] class indices.
    """
    height = labels.shape[0]
    column_wise = labels.ravel(order="F")
    changes = np.flatnonzero(column_wise[1:] != column_wise[:-1]) + 1
    starts = np.concatenate([[0], changes])
    ends = np.concatenate([changes, [column_wise.size]])
    values = column_wise[starts]
    order = np.argsort(values, kind="stable")
    classes, first = np.unique(values[order], return_index=True)
    return {
        int(index): _runs(starts[own], ends[own], column_wise.size, height)
        for index, own in zip(classes.tolist(), np.split(order, first[1:]), strict=True)
    }


def compress(counts: npt.NDArray[np.int64]) -> str:
    """COCO's text for run lengths."""
    left = counts.copy()
    left[3:] -= counts[1:-2]
    characters = []
    going = np.ones(len(left), bool)
    while going.any():
        low = left & 31
        left = left >> 5
        # Nothing more follows where all higher bits repeat the highest one sent, the sign.
        more = going & np.where(low & 16, left != -1, left != 0)
        characters.append(np.where(going, low + 32 * more + 48, 0).astype(np.uint8))
        going = more
    text = np.stack(characters, axis=1).ravel()
    return text[text > 0].tobytes().decode("ascii")


def _runs(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], size: int, height: int) -> ClassRuns:
    """Runs of one class from the first pixels of its runs and those after their last."""
    borders = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(borders, prepend=0)
    if ends[-1] < size:
        counts = np.append(counts, size - ends[-1])
    left, right = int(starts[0]) // height, int(ends[-1] - 1) // height
    if (starts // height != (ends - 1) // height).any():  # from one column into the next: by its lowest row and row 0
        top, bottom = 0, height - 1
    else:
        top, bottom = int((starts % height).min()), int(((ends - 1) % height).max())
    box = left, top, right - left + 1, bottom - top + 1
    return ClassRuns(counts, int((ends - starts).sum()), box)
