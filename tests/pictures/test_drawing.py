import numpy as np
import pytest

from sclip_lightning.pictures.drawing import draw_overlay, draw_panel
from sclip_lightning.pictures.palette import distinct_colours


def overlay(labels, classes=3, **options):
    image = np.full((*labels.shape, 3), 100, np.uint8)
    names = [f"class {i}" for i in range(classes)]
    return draw_overlay(image, labels, distinct_colours(classes), names, **options)


def test_labels_colour_the_image_and_contours_part_them():
    labels = np.zeros((640, 640), np.uint8)
    labels[:, 320:] = 2
    drawn, palette = overlay(labels), distinct_colours(3).astype(float)
    np.testing.assert_allclose(drawn[100, 100], 45 + 0.55 * palette[0], atol=1)
    np.testing.assert_allclose(drawn[100, 500], 45 + 0.55 * palette[2], atol=1)
    assert (drawn[:640, 319] == 255).all()


def test_background_is_dimmed():
    drawn = overlay(np.zeros((640, 640), np.uint8), has_background=True)
    assert drawn[100, 100].tolist() == [50, 50, 50]


def test_legend_has_the_classes_seen_in_their_colours():
    labels = np.zeros((640, 640), np.uint8)
    labels[:, 600:] = 1
    legend, palette = overlay(labels)[640:], distinct_colours(3)
    seen = [(legend == shade).all(axis=2).sum() > 50 for shade in palette]
    assert seen == [True, True, False]


def letters(drawn, rows, columns):
    """Height of what is written in white on a part of a picture, in pixels; 0 for nothing."""
    white = (drawn[rows, columns] > 240).all(axis=2).any(axis=1)
    return 0 if not white.any() else int(np.ptp(np.flatnonzero(white))) + 1


@pytest.mark.parametrize("side", [640, 1280])
def test_names_grow_with_the_picture_and_shrink_with_the_region(side):
    """As high as a capital letter and descenders in a font of side / 22, but no higher than a small region allows."""
    labels = np.zeros((side, side), np.uint8)
    labels[:, : side // 2] = 1
    labels[side // 2 : side // 2 + side // 20, side // 2 + 4 :] = 2
    drawn = overlay(labels)[:side]
    inside = slice(side // 8, side - side // 8)
    large = letters(drawn, inside, slice(4, side // 2 - 4))
    assert 0.5 * side / 22 < large < 1.1 * side / 22
    small = letters(drawn, slice(side // 2 + 2, side // 2 + side // 20 - 3), slice(side // 2 + 8, side - 4))
    assert 0.4 * large < small < 0.9 * large


def test_classes_of_one_colour_are_told_apart_in_pictures():
    labels = np.zeros((640, 640), np.uint8)
    labels[:, 320:] = 1
    palette = np.array([[0, 192, 64], [0, 192, 64]], np.uint8)
    image = np.full((640, 640, 3), 100, np.uint8)
    panel = draw_panel(image, labels, labels, palette, ["person", "bicycle"])
    for drawn in (draw_overlay(image, labels, palette, ["person", "bicycle"])[:640], panel[24:-40, 492:966]):
        left, right = drawn[200, 20].astype(int), drawn[200, -20].astype(int)
        assert np.abs(left - right).sum() > 60
    only = draw_overlay(image, np.zeros_like(labels), palette, ["person", "bicycle"])
    np.testing.assert_allclose(only[100, 100], 45 + 0.55 * palette[0], atol=1)


@pytest.mark.slow
def test_a_title_adds_a_line():
    labels = np.zeros((640, 640), np.uint8)
    plain, titled = overlay(labels), overlay(labels, title="a very long name of an image " * 20)
    assert titled.shape[0] > plain.shape[0]
    assert titled.shape[1] == plain.shape[1]


@pytest.mark.slow
def test_sizes_are_bounded():
    for size in ((2, 3), (1, 4000), (4000, 1), (3000, 4000)):
        drawn = overlay(np.zeros(size, np.uint8))
        assert 640 <= max(drawn.shape[:2]) <= 1400


def test_very_many_classes_still_fit():
    labels = np.arange(900, dtype=np.uint16).reshape(30, 30)
    drawn = overlay(labels, classes=900)
    assert drawn.shape[0] < 2 * 640
