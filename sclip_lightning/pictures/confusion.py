"""Drawing a confusion matrix that can be read."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sclip_lightning.pictures.drawing import RIGHT_COLOUR, WRONG_COLOUR, Array, load_font, shorten, wrap
from sclip_lightning.records.confusions import most_confused

__all__ = ["MOST_CLASSES", "draw_confusion"]

#: So many classes fit on a screen with names and figures; of more, those with the most wrong pixels are drawn.
MOST_CLASSES = 24
#: Side of a cell, room for names, in pixels.
_CELL, _NAMES = 32, 150
_FONT_SIZE, _SMALL, _GAP = 14, 12, 8
#: From so much of a row on, a cell gets a figure, and its figure is white.
_FIGURE, _DARK = 0.005, 0.55
_LINES = (222, 222, 222)


def draw_confusion(confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> Array:
    """Draw what became of the pixels of every class, in percent: right ones green, wrong ones red.

    Of more than 24 classes those with the most wrong pixels are drawn, and what was taken for another class fills a
    last column, so that every row adds up to 100 %.

    Args:
        confusion: [C, C] pixels, rows ground truth, columns prediction.
        classes: C names.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    shown = most_confused(confusion, MOST_CLASSES)
    cells = confusion[np.ix_(shown, shown)]
    names = [classes[c] for c in shown]
    columns = list(names)
    totals = confusion[shown].sum(axis=1)
    title = "Pixels of each class (rows, ground truth) by what they were predicted as (columns), in percent"
    if len(shown) < len(classes):
        cells = np.concatenate([cells, (totals - cells.sum(axis=1))[:, None]], axis=1)
        columns.append("(other classes)")
        title += f"; the {len(shown)} of {len(classes)} classes with the most wrong pixels"
    shares = cells / np.maximum(totals, 1)[:, None]

    font = load_font(_FONT_SIZE)
    lines = wrap(title, font, _NAMES + len(columns) * _CELL)
    head = len(lines) * (_FONT_SIZE + _GAP // 2) + _GAP
    left, top = _GAP + _NAMES, head + _NAMES
    size = left + len(columns) * _CELL + _GAP, top + len(names) * _CELL + _GAP
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        draw.text((_GAP, _GAP // 2 + i * (_FONT_SIZE + _GAP // 2)), line, "black", font)
    for row, name in enumerate(names):
        draw.text((left - _GAP, top + (row + 0.5) * _CELL), shorten(name, font, _NAMES - _GAP), "black", font, "rm")
    canvas.paste(_column_names(columns, font), (left, head))
    for (row, column), share in np.ndenumerate(shares):
        _draw_cell(draw, (left + column * _CELL, top + row * _CELL), float(share), row == column)
    return np.asarray(canvas)


def _draw_cell(draw: ImageDraw.ImageDraw, corner: tuple[int, int], share: float, right: bool) -> None:
    x, y = corner
    full = np.array(RIGHT_COLOUR if right else WRONG_COLOUR)
    # The square root makes the few percent visible that most confusions are.
    fill = tuple((255 - (255 - full) * share**0.5).round().astype(int).tolist())
    draw.rectangle((x, y, x + _CELL, y + _CELL), fill, _LINES)
    if share >= _FIGURE:
        centre = (x + _CELL / 2, y + _CELL / 2)
        ink = "white" if share**0.5 > _DARK else "black"
        draw.text(centre, f"{100 * share:.0f}", ink, load_font(_SMALL), "mm")


def _column_names(names: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """Names that read upwards, each in the middle of its column."""
    lying = Image.new("RGB", (_NAMES, len(names) * _CELL), "white")
    draw = ImageDraw.Draw(lying)
    for i, name in enumerate(names):
        draw.text((_GAP, (i + 0.5) * _CELL), shorten(name, font, _NAMES - 2 * _GAP), "black", font, "lm")
    return lying.transpose(Image.Transpose.ROTATE_90)
