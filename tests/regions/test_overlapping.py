"""Overlapping masks become one segment map in the published order, or in the opposite one."""

import numpy as np
import pytest

from sclip_lightning.regions import painted

SIZE = (6, 8)


def box(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


PERSON, FACE, EYE, BESIDE = box(0, 0, 6, 4), box(0, 0, 3, 4), box(1, 1, 2, 2), box(4, 3, 6, 7)


@pytest.mark.parametrize("places", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_as_published_the_larger_mask_wins_and_numbers_have_gaps(places):
    masks = [(PERSON, FACE, EYE, BESIDE)[place] for place in places]
    segments = painted(masks, SIZE)
    assert segments.dtype == np.int32
    assert np.unique(segments).tolist() == [0, 2, 4]  # 1 was the eye, 3 the face
    assert (segments[PERSON] == 4).all()
    assert (segments[BESIDE & ~PERSON] == 2).all()
    assert (segments[~PERSON & ~BESIDE] == 0).all()


def test_with_small_ones_on_top_all_are_there():
    segments = painted([PERSON, FACE, EYE, BESIDE], SIZE, "small_on_top")
    assert (segments[EYE] == 4).all()
    assert (segments[BESIDE] == 3).all()
    assert (segments[FACE & ~EYE] == 2).all()
    assert (segments[PERSON & ~FACE & ~BESIDE] == 1).all()
    assert (segments[~PERSON & ~BESIDE] == 0).all()


@pytest.mark.parametrize("order", ["large_on_top", "small_on_top"])
def test_of_equal_areas_the_later_one_wins(order):
    first, second = box(0, 0, 2, 4), box(0, 2, 2, 6)
    segments = painted([first, second], SIZE, order)
    assert (segments[second] == 2).all()
    assert (segments[first & ~second] == 1).all()


@pytest.mark.parametrize("order", ["large_on_top", "small_on_top"])
def test_like_painting_one_mask_after_the_other_pixel_by_pixel(order):
    masks = [np.random.default_rng(seed).random(SIZE) < 0.1 * (seed + 1) for seed in (4, 0, 2, 5)]
    ranks = sorted(range(len(masks)), key=lambda i: masks[i].sum() * (1 if order == "large_on_top" else -1))
    expected = [
        [max((rank for rank, i in enumerate(ranks, 1) if masks[i][y, x]), default=0) for x in range(SIZE[1])]
        for y in range(SIZE[0])
    ]
    assert painted(masks, SIZE, order).tolist() == expected


def test_without_masks_there_is_no_segment():
    segments = painted([], SIZE)
    assert (segments.shape, segments.dtype, segments.max()) == (SIZE, np.int32, 0)
