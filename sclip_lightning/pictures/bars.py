"""Drawing the scores of classes as bars with their names."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sclip_lightning.pictures.drawing import Array, shorten

__all__ = ["MOST_BARS", "draw_bars"]

#: So many bars can be read where the picture is shown small; of more classes, the lowest and the highest are drawn.
MOST_BARS = 40
#: Bars above each other in a column, room for a name, for a bar and for its figure, height of a line, in pixels.
_ROWS, _NAME, _BAR, _FIGURE, _LINE = 20, 220, 180, 60, 30
_FONT, _GAP = 22, 8
_FILL, _TRACK = (86, 160, 211), (235, 237, 240)


def draw_bars(names: Sequence[str], scores: Sequence[float | None], what: str = "IoU") -> Array:
    """Draw a bar for each class, the highest first, in percent.

    Args:
        names: Of C classes.
        scores: C fractions in [0, 1]; None or NaN where a class has none, which comes last.
        what: The name of the score.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    known = [(-1.0 if score is None or math.isnan(score) else score, -i) for i, score in enumerate(scores)]
    order = [-place for _, place in sorted(known, reverse=True)]
    title = f"{what} of the classes, in percent"
    if len(order) > MOST_BARS:
        with_score = [i for i in order if known[i][0] >= 0]
        half = MOST_BARS // 2
        order = [*with_score[:half], *with_score[half:][-half:]]
        title = f"{what} in percent: {half} highest, {half} lowest of {len(names)} classes"
    font = ImageFont.load_default(_FONT)
    columns = max(-(-len(order) // _ROWS), 1)
    width = _NAME + _BAR + _FIGURE + 2 * _GAP
    rows = min(len(order), _ROWS)
    canvas = Image.new("RGB", (columns * width + _GAP, (rows + 1) * _LINE + 2 * _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, _GAP), shorten(title, font, canvas.width - 2 * _GAP), "black", font)
    for number, index in enumerate(order):
        left = _GAP + number // _ROWS * width
        middle = _GAP + (number % _ROWS + 1.5) * _LINE
        draw.text((left + _NAME - _GAP, middle), shorten(names[index], font, _NAME - _GAP), "black", font, "rm")
        bar = left + _NAME, middle - _LINE * 0.3
        draw.rectangle((*bar, left + _NAME + _BAR, middle + _LINE * 0.3), _TRACK)
        score = known[index][0]
        if score > 0:
            draw.rectangle((*bar, left + _NAME + round(_BAR * score), middle + _LINE * 0.3), _FILL)
        figure = f"{100 * score:.1f}" if score >= 0 else "-"
        draw.text((left + _NAME + _BAR + _GAP, middle), figure, "black", font, "lm")
    return np.asarray(canvas)
