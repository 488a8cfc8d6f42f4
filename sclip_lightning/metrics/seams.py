"""How often labels change across the borders of sliding windows, and elsewhere, where the ground truth does not."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

__all__ = ["count_seams"]


def count_seams(
    prediction: Tensor, target: Tensor, borders: tuple[Sequence[int], Sequence[int]], ignore_index: int = 255
) -> tuple[int, int, int, int]:
    """Count pairs of neighbouring pixels (4-neighbours) that have one class in the ground truth.

    Args:
        prediction: [H, W] integer labels.
        target: [H, W] integer labels or ``ignore_index``; a pair with an ignored pixel does not count.
        borders: Rows and columns that windows begin at or end before, inside the image, each once: row r lies between
            the pixels of rows r - 1 and r, and so do columns.
        ignore_index: Label of pixels without ground truth.

    Returns:
        Pairs across a border, those of them whose predicted labels differ, then both for all other pairs; four times 0
        without borders, so that both shares are of the same images.
    """
    if not any(borders):
        return 0, 0, 0, 0
    predicted, true = prediction.cpu().numpy(), target.cpu().numpy()
    pairs = changes = all_pairs = all_changes = 0
    for axis, starts in enumerate(borders):
        if axis == 1:  # so that columns are counted as rows are
            predicted, true = predicted.T, true.T
        same = true[1:] == true[:-1]
        same &= true[1:] != ignore_index
        changed = predicted[1:] != predicted[:-1]
        changed &= same
        across = [start - 1 for start in starts]
        pairs += int(np.count_nonzero(same[across]))
        changes += int(np.count_nonzero(changed[across]))
        all_pairs += int(np.count_nonzero(same))
        all_changes += int(np.count_nonzero(changed))
    return pairs, changes, all_pairs - pairs, all_changes - changes
