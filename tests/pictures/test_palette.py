import numpy as np

from sclip_lightning.pictures.natural import _COLOURS, natural_colour
from sclip_lightning.pictures.palette import NEARLY_THE_SAME, class_colours, difference, distinct_colours, told_apart
from sclip_lightning.vocabulary import Vocabulary


def closest(colours):
    """Smallest difference of two of some colours."""
    return (difference(colours, colours) + 9 * np.eye(len(colours))).min()


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


def hue(colour):
    """The channel that is strongest."""
    return "rgb"[int(np.argmax(colour))]


def test_things_have_the_colours_that_they_have():
    vocabulary = Vocabulary.parse("grass=lawn, sky, water, person, car, big trees, road", background=True)
    colours = dict(zip(vocabulary.names, vocabulary.palette.tolist(), strict=True))
    assert colours["background"] == [0, 0, 0]
    assert [hue(colours[name]) for name in ("grass", "big trees", "sky", "water")] == ["g", "g", "b", "b"]
    assert np.ptp(colours["road"]) < 20
    assert colours["sky"] == list(natural_colour(["sky"]))
    assert closest(vocabulary.palette) > NEARLY_THE_SAME


def test_words_are_found_in_names():
    assert natural_colour(["Grass"]) == natural_colour(["wet grass"]) == natural_colour(["thing", "meadows"])
    assert natural_colour(["leaves"]) == natural_colour(["leaf"])
    assert natural_colour(["bushes"]) == natural_colour(["bush"]) is not None
    assert natural_colour(["strawberries"]) == natural_colour(["strawberry"])
    assert natural_colour(["grass snake"]) is None
    assert natural_colour(["car", " "]) is None


def test_no_two_classes_have_nearly_the_same_colour():
    """Words that stand for one colour, words for all, words for none, and a mixture."""
    one = [["grass"], ["lawn"], ["meadow"], ["grass"], ["sky"]]
    every = [[word] for word in dict(zip(_COLOURS.values(), _COLOURS, strict=True)).values()]
    none = [[f"thing {i}"] for i in range(30)]
    for classes in (one, every, none, [*every[:12], *none[:15]]):
        colours = class_colours(classes)
        assert colours.shape == (len(classes), 3)
        assert closest(colours) > NEARLY_THE_SAME
    np.testing.assert_array_equal(class_colours(none), distinct_colours(30))
    assert class_colours([["grass"]]).tolist() == [list(natural_colour(["grass"]))]
    assert class_colours([["grass"], *([f"thing {i}"] for i in range(1500))]).shape == (1501, 3)


def test_classes_of_one_picture_are_told_apart():
    palette = np.array([[0, 128, 128], [9, 9, 9], [0, 128, 128], [64, 128, 128], [250, 0, 0]], np.uint8)
    assert told_apart(palette, [0, 1, 4]) is palette
    colours = told_apart(palette, [0, 2, 3, 4])
    np.testing.assert_array_equal(colours[[0, 1, 4]], palette[[0, 1, 4]])
    assert closest(colours[[0, 2, 3, 4]]) > NEARLY_THE_SAME
