import numpy as np

from sclip_lightning.pictures.drawing import draw_overlay
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


def test_a_title_adds_a_line():
    labels = np.zeros((640, 640), np.uint8)
    plain, titled = overlay(labels), overlay(labels, title="a very long name of an image " * 20)
    assert titled.shape[0] > plain.shape[0]
    assert titled.shape[1] == plain.shape[1]


def test_sizes_are_bounded():
    for size in ((2, 3), (1, 4000), (4000, 1), (3000, 4000)):
        drawn = overlay(np.zeros(size, np.uint8))
        assert 640 <= max(drawn.shape[:2]) <= 1400


def test_very_many_classes_still_fit():
    labels = np.arange(900, dtype=np.uint16).reshape(30, 30)
    drawn = overlay(labels, classes=900)
    assert drawn.shape[0] < 2 * 640
