import numpy as np
import pytest

from sclip_lightning.pictures.confusion import MOST_CLASSES, draw_confusion
from sclip_lightning.pictures.drawing import RIGHT_COLOUR, WRONG_COLOUR


def count(picture, colour):
    return (picture == colour).all(axis=2).sum()


def test_right_is_green_and_wrong_is_red():
    right, wrong = (draw_confusion(np.array(counts), ["a", "b"]) for counts in ([[5, 0], [0, 7]], [[0, 5], [7, 0]]))
    assert count(right, RIGHT_COLOUR) > 1000 > 0 == count(right, WRONG_COLOUR)
    assert count(wrong, WRONG_COLOUR) > 1000 > 0 == count(wrong, RIGHT_COLOUR)


def test_a_rare_confusion_is_visible():
    clean, faint = (draw_confusion(np.array([[99, wrong], [0, 100]]), ["a", "b"]) for wrong in (0, 1))
    assert np.abs(clean.astype(int) - faint).max() > 20


@pytest.mark.parametrize("classes", [1, 20, 171, 900])
def test_size_is_bounded(classes):
    confusion = np.random.default_rng(0).integers(0, 9, (classes, classes))
    names = [f"a class with a very long name {i}" for i in range(classes)]
    assert max(draw_confusion(confusion, names).shape) < 1050


def test_what_is_not_drawn_is_in_the_last_column():
    confusion = np.zeros((40, 40), np.int64)
    confusion[:30, 39] = 1000 - np.arange(30)  # class 39 is the only prediction, 0..22 are drawn beside it
    names = [str(i) for i in range(40)]
    before = draw_confusion(confusion, names)
    confusion[0, 35] = 500
    after = draw_confusion(confusion, names)
    assert before.shape == after.shape
    width = after.shape[1] - 8 - 32  # the margin and the last column
    changed = np.abs(before.astype(int) - after).sum(axis=2) > 0
    assert changed[:, width:].any()
    assert MOST_CLASSES < 39


def test_no_pixels_at_all():
    assert count(draw_confusion(np.zeros((3, 3), np.int64), list("abc")), WRONG_COLOUR) == 0
