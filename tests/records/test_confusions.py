import math

import numpy as np
import pytest

from sclip_lightning.records.confusions import image_miou, largest_confusions, most_confused, rank

CONFUSION = np.array([[6, 3, 1], [0, 8, 2], [4, 0, 0]])


def pairs(confusion):
    target, prediction = confusion.nonzero()
    return np.stack([target, prediction, confusion[target, prediction]])


def test_miou_of_an_image():
    assert image_miou(pairs(CONFUSION)) == pytest.approx((6 / 14 + 8 / 13 + 0 / 7) / 3)


def test_classes_that_do_not_occur_do_not_count():
    spread = np.zeros((9, 9), int)
    spread[np.ix_([1, 4, 8], [1, 4, 8])] = CONFUSION
    assert image_miou(pairs(spread)) == image_miou(pairs(CONFUSION))
    assert math.isnan(image_miou(np.zeros((3, 0), np.int64)))


def test_rank():
    scores = {0: 0.5, 1: 0.1, 2: math.nan, 3: 0.9, 4: 0.1, 5: 0.7}
    assert rank(scores, 3, 1) == ([1, 4, 0], [0])
    assert rank(scores, 0, 3) == ([], [4, 0, 5])
    assert rank(scores, 9, 9) == ([1, 4, 0, 5, 3], [1, 4, 0, 5, 3])


def test_largest_confusions():
    found = largest_confusions(CONFUSION, 3)
    assert [one[:3] for one in found] == [(2, 0, 4), (0, 1, 3), (1, 2, 2)]
    assert [one.of_class for one in found] == pytest.approx([1, 0.3, 0.2])
    assert [one.of_errors for one in found] == pytest.approx([0.4, 0.3, 0.2])
    assert len(largest_confusions(CONFUSION, 30)) == 4
    assert largest_confusions(np.diag([1, 2, 3]), 30) == []


def test_most_confused():
    assert most_confused(CONFUSION, 2) == [0, 2]
    assert most_confused(CONFUSION, 30) == [0, 1, 2]
