"""Drawing fractions as bars with names, to be read where the picture is shown small, as TensorBoard shows it."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from sclip_lightning.pictures.drawing import Array, load_font, shorten

__all__ = ["MOST_BARS", "draw_bars", "draw_classes"]

#: Bars above each other in a column, and most of them all: two columns have the shape of TensorBoard's cards, twice as
#: wide as high.
_ROWS = 11
MOST_BARS = 2 * _ROWS
#: Width of a column, room for the figures, height of a line, letters, in pixels.
_COLUMN, _FIGURE, _LINE, _FONT, _GAP = 400, 66, 34, 23, 8
_FILL, _TRACK = (86, 160, 211), (235, 237, 240)


def draw_classes(names: Sequence[str], scores: Sequence[float | None], what: str = "IoU") -> Array:
    """Draw a bar for each class, the highest first; of many, the highest and the lowest.

    Args:
        names: Of C classes.
        scores: C fractions in [0, 1]; None or NaN where a class has none, which comes last and goes first.
        what: The name of the score.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    pairs = [(name, score if _exists(score) else None) for name, score in zip(names, scores, strict=True)]
    with_score = sorted((pair for pair in pairs if _exists(pair[1])), key=lambda pair: -(pair[1] or 0.0))
    shown = [*with_score, *(pair for pair in pairs if not _exists(pair[1]))]
    if len(shown) <= MOST_BARS:
        return draw_bars(shown, f"{what} of the classes, in percent")
    shown = with_score if len(with_score) <= MOST_BARS else [*with_score[:_ROWS], *with_score[-_ROWS:]]
    return draw_bars(shown, f"{what} in percent: {len(shown)} of {len(names)} classes, the highest and the lowest")


def draw_bars(bars: Sequence[tuple[str, float | None]], title: str, name_width: int = 190, full: float = 1.0) -> Array:
    """Draw bars in two columns, in percent, with a title.

    Args:
        bars: At most ``MOST_BARS`` names with their fractions in [0, 1]; None for a dash.
        title: What they are.
        name_width: Room for a name, in pixels.
        full: The fraction that fills a bar.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    font = load_font(_FONT)
    columns = 1 if len(bars) <= _ROWS else 2
    canvas = Image.new("RGB", (2 * _COLUMN + _GAP, (min(max(len(bars), 1), _ROWS) + 1) * _LINE + 2 * _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, _GAP), shorten(title, font, canvas.width - 2 * _GAP), "black", font)
    rows = -(-len(bars) // columns)
    width = _COLUMN - name_width - _FIGURE - 2 * _GAP
    for number, (name, share) in enumerate(bars):
        left = _GAP + number // max(rows, 1) * _COLUMN
        middle = _GAP + (number % rows + 1.5) * _LINE
        draw.text((left + name_width - _GAP, middle), shorten(name, font, name_width - _GAP), "black", font, "rm")
        upper, lower = middle - _LINE * 0.3, middle + _LINE * 0.3
        draw.rectangle((left + name_width, upper, left + name_width + width, lower), _TRACK)
        if share:
            draw.rectangle((left + name_width, upper, left + name_width + round(width * share / full), lower), _FILL)
        figure = "-" if share is None else f"{100 * share:.1f}"
        draw.text((left + name_width + width + _GAP, middle), figure, "black", font, "lm")
    return np.asarray(canvas)


def _exists(score: float | None) -> bool:
    return score is not None and math.isfinite(score)
