import numpy as np

from sclip_lightning.pictures.palette import distinct_colours


def test_colours_are_distinct_and_the_first_ones_do_not_depend_on_the_number():
    colours = distinct_colours(300)
    assert (colours.shape, colours.dtype) == ((300, 3), np.uint8)
    assert len(np.unique(colours, axis=0)) == 300
    np.testing.assert_array_equal(distinct_colours(7), colours[:7])
    assert distinct_colours(5000).shape == (5000, 3)


def test_few_classes_get_colours_far_apart():
    colours = distinct_colours(8).astype(int)
    distance = np.abs(colours[:, None] - colours).sum(axis=2) + 999 * np.eye(8, dtype=int)
    assert distance.min() > 120
