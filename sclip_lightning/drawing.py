"""Drawing label maps."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["colour", "draw_overlay", "draw_panel"]

Array = npt.NDArray[np.uint8]

#: Colours of what is no class: pixels the ground truth leaves out, wrong ones, right ones.
VOID, WRONG, RIGHT = (224, 224, 224), (214, 39, 40), (46, 125, 80)
#: Longest side of one picture in a panel, in pixels.
MAX_SIDE = 480
#: Share of the image that shows through labels.
TRANSPARENCY = 0.35
_FONT_SIZE, _GAP = 14, 6


def colour(labels: npt.NDArray[np.integer], palette: Array) -> Array:
    """Colour a label map.

    Args:
        labels: [H, W] class labels; whatever is no class gets the colour of void.
        palette: [C, 3] uint8 RGB.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    is_class = (labels >= 0) & (labels < len(palette))
    coloured = palette[np.where(is_class, labels, 0)]
    coloured[~is_class] = VOID
    return coloured


def draw_panel(
    image: Array,
    target: npt.NDArray[np.integer],
    prediction: npt.NDArray[np.integer],
    palette: Array,
    classes: Sequence[str],
    ignore_index: int = 255,
) -> Array:
    """Draw image, ground truth, prediction and errors side by side, with a legend of the classes that occur.

    Args:
        image: [H, W, 3] uint8 RGB.
        target: [H, W] ground-truth labels, ``ignore_index`` where there are none.
        prediction: [H, W] predicted labels.
        palette: [C, 3] uint8 RGB.
        classes: C names.
        ignore_index: The label of pixels that are not scored.

    Returns:
        [H', W', 3] uint8 RGB.
    """
    errors = np.where((prediction == target)[..., None], RIGHT, WRONG).astype(np.uint8)
    errors[target == ignore_index] = VOID
    overlays = [colour(target, palette), colour(prediction, palette), errors]
    blended = [(TRANSPARENCY * image + (1 - TRANSPARENCY) * overlay).astype(np.uint8) for overlay in overlays]
    pictures = [_shrink(picture) for picture in (image, *blended)]
    wrong = np.mean((prediction != target)[target != ignore_index]) if (target != ignore_index).any() else 0.0
    titles = ["image", "ground truth", "prediction", f"errors ({100 * wrong:.1f} % of pixels)"]

    present = set(np.unique(target).tolist()) | set(np.unique(prediction).tolist())
    entries = _entries(present, palette, classes)
    if (target == ignore_index).any():
        entries.append(("not scored", VOID))
    return _compose(pictures, titles, entries)


def draw_overlay(image: Array, prediction: npt.NDArray[np.integer], palette: Array, classes: Sequence[str]) -> Array:
    """Draw an image under the colours of its labels at its own size, with a legend; arguments as ``draw_panel``.

    Returns:
        [H', W', 3] uint8 RGB.
    """
    blended = (TRANSPARENCY * image + (1 - TRANSPARENCY) * colour(prediction, palette)).astype(np.uint8)
    entries = _entries(set(np.unique(prediction).tolist()), palette, classes)
    return _compose([Image.fromarray(blended)], ["prediction"], entries)


def _entries(labels: set[int], palette: Array, classes: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Name and colour of the classes among some labels."""
    return [(classes[c], tuple(palette[c].tolist())) for c in sorted(labels) if c < len(classes)]


def _compose(
    pictures: Sequence[Image.Image], titles: Sequence[str], entries: Sequence[tuple[str, tuple[int, ...]]]
) -> Array:
    """Pictures of one size side by side under their titles, above a legend."""
    width = pictures[0].width
    total = len(pictures) * (width + _GAP) + _GAP
    font = ImageFont.load_default(_FONT_SIZE)
    rows = _wrap(entries, font, total)
    line = _FONT_SIZE + _GAP
    top = line + _GAP + pictures[0].height + _GAP
    canvas = Image.new("RGB", (total, top + len(rows) * line + _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (title, picture) in enumerate(zip(titles, pictures, strict=True)):
        left = _GAP + i * (width + _GAP)
        draw.text((left, _GAP // 2), title, fill="black", font=font)
        canvas.paste(picture, (left, line + _GAP))
    for i, row in enumerate(rows):
        for left, name, shade in row:
            box = (left, top + i * line, left + _FONT_SIZE, top + i * line + _FONT_SIZE)
            draw.rectangle(box, fill=shade, outline="grey")
            draw.text((left + _FONT_SIZE + 4, top + i * line - 2), name, fill="black", font=font)
    return np.asarray(canvas)


def _shrink(picture: Array) -> Image.Image:
    shrunk = Image.fromarray(picture)
    shrunk.thumbnail((MAX_SIDE, MAX_SIDE))
    return shrunk


def _wrap(
    entries: Sequence[tuple[str, tuple[int, ...]]], font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int
) -> list[list[tuple[int, str, tuple[int, ...]]]]:
    """Place legend entries in rows no wider than ``width``; each entry becomes (left, name, colour)."""
    rows: list[list[tuple[int, str, tuple[int, ...]]]] = [[]]
    left = _GAP
    for name, shade in entries:
        length = _FONT_SIZE + 4 + int(font.getlength(name)) + 2 * _GAP
        if left + length > width and rows[-1]:
            rows.append([])
            left = _GAP
        rows[-1].append((left, name, shade))
        left += length
    return rows
