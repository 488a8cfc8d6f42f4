"""Pairs across borders of windows, counted by hand and by a loop over pixels."""

import numpy as np
import torch

from sclip_lightning.metrics import count_seams


def counts(prediction, target, borders):
    return count_seams(torch.tensor(prediction), torch.tensor(target), borders)


def test_by_hand():
    target = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 255, 0, 1]]
    prediction = [[0, 2, 2, 1], [0, 0, 2, 1], [2, 2, 2, 0]]
    # Across the border above row 1, columns 0, 1, 2, 3: of four pairs the second changes.
    # Across the border left of column 2, rows 0 and 1 (in row 2 a pixel is ignored): of two pairs the second changes.
    # Elsewhere, side by side: (0, 1) in rows 0 and 1, of which the first changes; columns 2 and 3 are two classes.
    # One above the other, rows 1 and 2: columns 0, 2 and 3, of which the first and the last change.
    assert counts(prediction, target, ([1], [2])) == (4 + 2, 1 + 1, 2 + 3, 1 + 2)


def test_one_window_is_not_counted():
    assert counts([[0, 1]], [[0, 0]], ([], [])) == (0, 0, 0, 0)
    assert counts([[0, 1]], [[0, 0]], ([], [1])) == (1, 1, 0, 0)


def test_every_pair_is_counted_once():
    random = np.random.default_rng(0)
    prediction, target = random.integers(0, 3, (13, 17)), random.integers(0, 2, (13, 17))
    target[random.random((13, 17)) < 0.1] = 255
    rows, columns = [3, 4, 12], [1, 9]
    expected = np.zeros(4, int)
    for y, x in np.ndindex(13, 17):
        for dy, dx, across in ((1, 0, y + 1 in rows), (0, 1, x + 1 in columns)):
            if y + dy < 13 and x + dx < 17 and target[y, x] == target[y + dy, x + dx] != 255:
                changed = prediction[y, x] != prediction[y + dy, x + dx]
                expected += [across, across and changed, not across, not across and changed]
    assert counts(prediction, target, (rows, columns)) == tuple(expected)
    # The same of bytes and of maps that are no block of memory.
    bytes_ = torch.tensor(prediction, dtype=torch.uint8).T, torch.tensor(target, dtype=torch.uint8).T
    assert count_seams(*bytes_, (columns, rows)) == tuple(expected)
