"""From masks that may overlap to one segment map."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["PaintOrder", "painted"]

#: Which of two masks a pixel of both belongs to.
PaintOrder = Literal["large_on_top", "small_on_top"]


def painted(
    masks: Sequence[npt.NDArray[np.bool_]], size: tuple[int, int], order: PaintOrder = "large_on_top"
) -> npt.NDArray[np.int32]:
    """Paint masks over each other, in the order of their areas.

    As published (CorrCLIP's masks of SAM 2, zdk258/CorrCLIP at 103bc18), the larger mask wins: a small one stays only
    where no larger one covers it, so that an eye inside a face is gone and numbers have gaps. Most people expect the
    opposite, which is ``small_on_top``.

    Args:
        masks: Each [H, W] bool. Of equal areas a later one lies over an earlier one.
        size: (H, W), which there must be without masks, too.
        order: Which masks are painted last.

    Returns:
        [H, W] int32: 0 where no mask is, else 1, 2, 3, ... in the order in which masks were painted.
    """
    areas = np.array([np.count_nonzero(mask) for mask in masks], np.int64)
    segments = np.zeros(size, np.int32)
    sequence = np.argsort(areas if order == "large_on_top" else -areas, kind="stable")
    for number, index in enumerate(sequence.tolist(), 1):
        segments[masks[index]] = number
    return segments
