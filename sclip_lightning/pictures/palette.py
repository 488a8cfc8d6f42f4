"""Colours for any number of classes, told apart as far as that many can be."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["BACKGROUND_COLOUR", "distinct_colours"]

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


@lru_cache(maxsize=1)
def _ordered() -> npt.NDArray[np.uint8]:
    values = np.linspace(0, 255, _STEPS).round()
    grid = np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1)
    colours: npt.NDArray[np.float64] = grid.reshape(-1, 3)
    lab = _oklab(colours)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    usable = (lab[:, 0] > _LIGHTNESS[0]) & (lab[:, 0] < _LIGHTNESS[1]) & (_CHROMA[0] < chroma) & (chroma < _CHROMA[1])
    colours, lab = colours[usable], lab[usable] * (_LIGHTNESS_WEIGHT, 1, 1)
    chosen = [int(np.hypot(lab[:, 1], lab[:, 2]).argmax())]
    distance = np.full(len(lab), np.inf)
    for _ in range(min(_MOST, len(lab)) - 1):
        distance = np.minimum(distance, ((lab - lab[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return colours[chosen].astype(np.uint8)


def _oklab(colours: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[N, 3] sRGB in 0..255 to OKLab."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_OKLAB.T
