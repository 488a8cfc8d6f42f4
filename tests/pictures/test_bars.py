import numpy as np
import pytest

from sclip_lightning.pictures import bars
from sclip_lightning.pictures.bars import MOST_BARS, draw_bars, draw_classes

FILL = (86, 160, 211)


def lengths(picture):
    """Length of every bar, from the top, in the left column and then in the right one."""
    filled = (picture == FILL).all(axis=2)
    found = []
    for half in np.split(filled[:, : filled.shape[1] // 2 * 2], 2, axis=1):
        rows = half.sum(axis=1)
        starts = np.flatnonzero((rows > 0) & (np.concatenate([[0], rows[:-1]]) == 0))
        found += [int(rows[start + 2]) for start in starts]
    return found


def test_bars_are_as_long_as_their_scores():
    half, whole, third = lengths(draw_bars([("a", 0.5), ("b", 1.0), ("c", 1 / 3), ("d", 0.0), ("e", None)], "title"))
    assert whole / 2 == pytest.approx(half, abs=2)
    assert whole / 3 == pytest.approx(third, abs=2)


def test_the_full_fraction_fills_a_bar():
    assert lengths(draw_bars([("a", 0.1)], "", full=0.1)) == lengths(draw_bars([("a", 1.0)], ""))


@pytest.mark.parametrize("classes", [1, 11, 12, 21, 171])
def test_of_many_classes_the_highest_and_the_lowest_are_drawn(classes, monkeypatch):
    scores = np.random.default_rng(0).random(classes).tolist()
    drawn = []
    monkeypatch.setattr(bars, "draw_bars", lambda shown, title: drawn.extend(shown))
    draw_classes([str(i) for i in range(classes)], scores)
    ordered = sorted(scores, reverse=True)
    assert [score for _, score in drawn] == (ordered if classes <= MOST_BARS else [*ordered[:11], *ordered[-11:]])
    assert all(scores[int(name)] == score for name, score in drawn)


def test_classes_without_a_score_come_last():
    assert lengths(draw_classes(["a", "b", "c"], [None, 0.5, float("nan")])) == lengths(draw_bars([("b", 0.5)], ""))


def test_the_size_is_that_of_a_card():
    """Twice as wide as high, and no larger for more classes."""
    sizes = [draw_classes([f"a class with a long name {i}" for i in range(n)], [0.5] * n).shape for n in (22, 900)]
    assert sizes[0] == sizes[1]
    assert 1.8 < sizes[0][1] / sizes[0][0] < 2.2
