"""Colours that things have anyway, for classes named in common words: grass is green."""

from collections.abc import Sequence

__all__ = ["natural_colour"]

Colour = tuple[int, int, int]

#: Words by colour, sRGB. Things that come in any colour, such as cars, are not in it.
_WORDS: dict[Colour, str] = {
    (125, 190, 245): "sky",
    (215, 235, 250): "cloud snow ice glacier",
    (25, 95, 180): "water sea ocean river lake pool pond",
    (85, 185, 65): "grass lawn meadow pasture turf",
    (25, 105, 55): "tree forest woods jungle palm",
    (170, 170, 10): "leaf leaves foliage bush hedge shrub plant vegetation crop",
    (235, 210, 130): "sand beach desert dune",
    (130, 80, 35): "soil ground earth dirt mud",
    (185, 115, 40): "wood timber wooden",
    (175, 40, 60): "brick",
    (90, 90, 100): "road street asphalt highway",
    (205, 170, 215): "sidewalk pavement path",
    (165, 165, 155): "rock stone gravel concrete cliff",
    (115, 105, 180): "mountain hill",
    (205, 140, 130): "building house skyscraper tower",
    (235, 50, 135): "person people man men woman women child children boy girl pedestrian human",
    (255, 180, 155): "face skin hand",
    (250, 105, 0): "fire flame fox",
    (255, 238, 50): "sun sunflower banana lemon",
    (255, 170, 40): "orange pumpkin carrot tiger",
    (225, 30, 20): "tomato strawberry blood",
    (245, 130, 200): "flower rose pig flamingo",
    (240, 232, 215): "sheep bread",
    (125, 130, 145): "elephant",
    (110, 60, 110): "grape plum eggplant",
}


_COLOURS = {word: colour for colour, words in _WORDS.items() for word in words.split()}


def natural_colour(names: Sequence[str]) -> Colour | None:
    """The colour of what a class is called, [3] sRGB; None where it has none of its own.

    Args:
        names: Of the class, the one that counts most first. Of several words the last says what it is: an apple tree is
            a tree.
    """
    for name in names:
        words = name.casefold().split()
        if words and (colour := _colour_of(words[-1])) is not None:
            return colour
    return None


def _colour_of(word: str) -> Colour | None:
    forms = [word]
    for plural, singular in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(plural):
            forms.append(word.removesuffix(plural) + singular)
    return next((_COLOURS[form] for form in forms if form in _COLOURS), None)
