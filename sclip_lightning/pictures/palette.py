"""Colours for any number of classes, told apart as far as that many can be."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sclip_lightning.pictures.natural import natural_colour

__all__ = ["BACKGROUND_COLOUR", "class_colours", "difference", "distinct_colours", "told_apart"]

#: The background's colour, as in VOC's colour map.
BACKGROUND_COLOUR = (0, 0, 0)
#: So many colours are told apart; further classes get them again.
_MOST = 1024
#: Candidates lie on a grid of so many steps per channel of sRGB ...
_STEPS = 18
#: ... and within these bounds of OKLab's lightness and chroma: neither near black, white or grey, nor glaring.
_LIGHTNESS, _CHROMA = (0.45, 0.88), (0.08, 0.21)
#: Weight of a difference in lightness: photographs have shading of their own, so hue must do most of the work.
_LIGHTNESS_WEIGHT = 0.7
#: Colours that differ by less are nearly the same to the eye. Up to some 30 classes any two differ by more.
NEARLY_THE_SAME = 0.09
#: Published colours that differ by less are taken for shared.
SHARED = 0.05
#: From linear sRGB to cone responses, and from their cube roots to OKLab (Ottosson 2020, "A perceptual color space for
#: image processing").
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def distinct_colours(count: int) -> npt.NDArray[np.uint8]:
    """Choose colours one by one, each as far as possible from all before it (after Glasbey et al., 2007).

    Distances are taken in OKLab. The first k of any number of colours are always the same; after 1024
    they repeat.

    Args:
        count: How many.

    Returns:
        [count, 3] uint8 RGB.
    """
    order = _ordered()
    return order[np.arange(count) % len(order)]


def class_colours(classes: Sequence[Sequence[str]]) -> npt.NDArray[np.uint8]:
    """Colours for classes named in words: natural ones where there are any, and others far from these.

    Where two classes have nearly the same natural colour, the first of them gets it.

    Args:
        classes: The names of each class, the one that counts most first.

    Returns:
        [C, 3] uint8 RGB.
    """
    colours = np.zeros((len(classes), 3), np.uint8)
    named: list[int] = []
    for index, names in enumerate(classes):
        natural = natural_colour(names)
        if natural is None:
            continue
        colours[index] = natural
        if named and difference(colours[named], colours[[index]]).min() < NEARLY_THE_SAME:
            continue
        named.append(index)
    others = [index for index in range(len(classes)) if index not in set(named)]
    colours[others] = _far_from(colours[named], len(others)) if named else distinct_colours(len(others))
    return colours


def told_apart(palette: npt.NDArray[np.uint8], present: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The colours of one picture: those of a palette, and others where two classes in the picture share one, or nearly.

    Published palettes have such classes: a bicycle and snow in PASCAL Context. Of two the first keeps its colour.

    Args:
        palette: [C, 3] uint8 RGB.
        present: The classes in the picture.

    Returns:
        [C, 3] uint8 RGB.
    """
    kept: list[int] = []
    others: list[int] = []
    for index in present:
        shared = kept and difference(palette[[index]], palette[kept]).min() < SHARED
        (others if shared else kept).append(index)
    if not others:
        return palette
    colours = palette.copy()
    colours[others] = _far_from(palette[kept], len(others))
    return colours


def difference(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """How far colours lie apart for the eye, [N, M], of [N, 3] and [M, 3] uint8 RGB; black and white by 0.7."""
    return np.sqrt(((_weighted(first)[:, None] - _weighted(second)) ** 2).sum(axis=2))


@lru_cache(maxsize=1)
def _ordered() -> npt.NDArray[np.uint8]:
    colours, lab = _candidates()
    first = int(np.hypot(lab[:, 1], lab[:, 2]).argmax())
    distance = ((lab - lab[first]) ** 2).sum(axis=1)
    return colours[[first, *_farthest(lab, distance, min(_MOST, len(lab)) - 1)]]


def _far_from(taken: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """``count`` colours, each as far as possible from those taken and all before it; after 1024 they repeat."""
    colours, lab = _candidates()
    distance = ((lab[:, None] - _weighted(taken)) ** 2).sum(axis=2).min(axis=1)
    chosen = colours[_farthest(lab, distance, min(count, _MOST, len(lab)))]
    return chosen[np.arange(count) % max(len(chosen), 1)]


def _farthest(lab: npt.NDArray[np.float64], distance: npt.NDArray[np.float64], count: int) -> list[int]:
    """Choose candidates one by one, given the squared distance of each to what is taken."""
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((lab - lab[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


@lru_cache(maxsize=1)
def _candidates() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Colours to choose from, [N, 3], and where they lie in OKLab with lightness weighted."""
    values = np.linspace(0, 255, _STEPS).round()
    grid = np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1)
    colours: npt.NDArray[np.float64] = grid.reshape(-1, 3)
    lab = _oklab(colours)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    usable = (lab[:, 0] > _LIGHTNESS[0]) & (lab[:, 0] < _LIGHTNESS[1]) & (_CHROMA[0] < chroma) & (chroma < _CHROMA[1])
    return colours[usable].astype(np.uint8), lab[usable] * (_LIGHTNESS_WEIGHT, 1, 1)


def _weighted(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return _oklab(colours.astype(np.float64)) * (_LIGHTNESS_WEIGHT, 1, 1)


def _oklab(colours: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[N, 3] sRGB in 0..255 to OKLab."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_OKLAB.T
