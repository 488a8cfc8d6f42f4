"""Drawing label maps."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sclip_lightning.pictures.palette import told_apart

__all__ = ["colour", "count_labels", "draw_overlay", "draw_panel", "label_image", "load_font", "shorten", "wrap"]

Array = npt.NDArray[np.uint8]

#: Colours of what is no class: pixels the ground truth leaves out, wrong ones, right ones.
VOID_COLOUR, WRONG_COLOUR, RIGHT_COLOUR = (224, 224, 224), (214, 39, 40), (46, 125, 80)
#: Longest side of one picture in a panel, in pixels: of larger images at most, of smaller ones at least.
MAX_SIDE, MIN_SIDE = 480, 320
#: Share of the image that shows through labels.
TRANSPARENCY = 0.35
_FONT_SIZE, _GAP = 14, 6
#: Letters of panels: this part of the height of the pictures, so that they can be read where a panel is shown small,
#: and at least so many pixels high. Width of a column of the legend, in heights of letters.
_PANEL_SCALE, _PANEL_FONT, _COLUMN = 18, 14, 10

#: Shortest and longest that the long side of an overlay gets, in pixels: readable, and no larger than a screen.
OVERLAY_SIDES = (640, 1280)
#: Share of the image that shows through in an overlay.
OVERLAY_TRANSPARENCY = 0.45
#: The letters of an overlay's legend are this part of its width, its names this part of its long side: the first that
#: fits.
LEGEND_SCALE, NAME_SCALES = 42, (22, 30, 40)
#: Most classes in the legend of an overlay, the largest first.
LEGEND_ENTRIES = 40
#: Pixels that are counted at a time.
COUNTED = 2**22
#: Most classes that a palette PNG can tell apart.
PALETTE_SIZE = 256


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Letters of a size in pixels, kept: the first text that a font writes takes six times as long as the next one."""
    return ImageFont.load_default(size)


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
    coloured[~is_class] = VOID_COLOUR
    return coloured


def label_image(labels: npt.NDArray[np.integer], palette: Array) -> Image.Image:
    """A label map as a PNG stores it: with a palette up to 256 classes, 16 bit grey above.

    Args:
        labels: [H, W] in 0..C-1.
        palette: [C, 3] uint8 RGB.
    """
    if len(palette) > PALETTE_SIZE:
        return Image.fromarray(labels.astype(np.uint16))
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(palette.flatten().tolist())
    return image


def count_labels(labels: npt.NDArray[np.integer], classes: int) -> npt.NDArray[np.int64]:
    """[C] number of pixels of each class, in [H, W] labels; by rows, since numpy counts in 8 bytes a pixel."""
    counts = np.zeros(classes, np.int64)
    step = max(COUNTED // labels.shape[1], 1)
    for top in range(0, len(labels), step):
        counts += np.bincount(labels[top : top + step].ravel(), minlength=classes)
    return counts


def draw_panel(
    image: Array,
    target: npt.NDArray[np.integer],
    prediction: npt.NDArray[np.integer],
    palette: Array,
    classes: Sequence[str],
    ignore_index: int = 255,
    title: str = "",
    columns: int = 2,
) -> Array:
    """Draw image, ground truth, prediction and errors beside each other, with a legend of the classes that occur.

    Two columns of two, with the legend beside them, are readable in a small place such as TensorBoard's cards, which
    are twice as wide as high; four, with the legend below, stack well.

    Args:
        image: [H, W, 3] uint8 RGB.
        target: [H, W] ground-truth labels, ``ignore_index`` where there are none.
        prediction: [H, W] predicted labels.
        palette: [C, 3] uint8 RGB.
        classes: C names.
        ignore_index: The label of pixels that are not scored.
        title: Lines above the pictures.
        columns: How many of the four pictures stand beside each other.

    Returns:
        [H', W', 3] uint8 RGB.
    """
    present = sorted(set(np.unique(target).tolist()) | set(np.unique(prediction).tolist()))
    palette = told_apart(palette, [c for c in present if c < len(classes)])
    errors = np.where((prediction == target)[..., None], RIGHT_COLOUR, WRONG_COLOUR).astype(np.uint8)
    errors[target == ignore_index] = VOID_COLOUR
    overlays = [colour(target, palette), colour(prediction, palette), errors]
    blended = [(TRANSPARENCY * image + (1 - TRANSPARENCY) * overlay).astype(np.uint8) for overlay in overlays]
    pictures = [_fit(picture) for picture in (image, *blended)]
    wrong = np.mean((prediction != target)[target != ignore_index]) if (target != ignore_index).any() else 0.0
    titles = ["image", "ground truth", "prediction", f"errors: {100 * wrong:.1f} %"]

    width, height = pictures[0].size
    entries = [(classes[c], tuple(palette[c].tolist())) for c in present if c < len(classes)]
    if (target == ignore_index).any():
        entries.append(("not scored", VOID_COLOUR))
    rows = -(-len(pictures) // columns)
    letters = max(round(rows * height / _PANEL_SCALE), _PANEL_FONT)
    font, line = load_font(letters), letters + _GAP
    across, down = columns * (width + _GAP) + _GAP, rows * (height + line + _GAP)
    above, beside = title.splitlines(), columns < len(pictures)
    top = 0 if beside else len(above) * line
    legend = _draw_column(above, entries, down, letters) if beside else _draw_legend(entries, across, letters)
    size = (across + legend.width, max(down, legend.height)) if beside else (across, top + down + legend.height)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for i, text in enumerate([] if beside else above):
        draw.text((_GAP, _GAP // 2 + i * line), shorten(text, font, across - 2 * _GAP), fill="black", font=font)
    for i, (name, picture) in enumerate(zip(titles, pictures, strict=True)):
        left, upper = _GAP + i % columns * (width + _GAP), top + i // columns * (height + line + _GAP)
        draw.text((left, upper), shorten(name, font, width), fill="black", font=font)
        canvas.paste(picture, (left, upper + line))
    canvas.paste(legend, (across, 0) if beside else (0, top + down))
    return np.asarray(canvas)


def _draw_column(
    title: Sequence[str], entries: Sequence[tuple[str, tuple[int, ...]]], height: int, letters: int
) -> Image.Image:
    """A title in short lines and, below it, names beside their colours, in one column or in as many as are needed."""
    font, line = load_font(letters), letters + _GAP
    above = [part for text in title for part in wrap(text, font, _COLUMN * letters)]
    rows = max((height - _GAP) // line - len(above), 1)
    columns = max(-(-len(entries) // rows), 1)
    canvas = Image.new("RGB", (columns * (_COLUMN * letters + _GAP), max(height, (len(above) + 1) * line)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, text in enumerate(above):
        draw.text((_GAP, i * line), text, "black", font)
    for number, (name, shade) in enumerate(entries):
        left = _GAP + number // rows * (_COLUMN * letters + _GAP)
        upper = (len(above) + number % rows) * line + _GAP
        draw.rectangle((left, upper, left + letters, upper + letters), fill=shade, outline="grey")
        text = shorten(name, font, (_COLUMN - 2) * letters)
        draw.text((left + letters + _GAP, upper + letters // 2), text, "black", font, "lm")
    return canvas


def draw_overlay(
    image: Array,
    labels: npt.NDArray[np.integer],
    palette: Array,
    classes: Sequence[str],
    has_background: bool = False,
    title: str = "",
) -> Array:
    """Draw an image under the colours of its labels, with contours, names and a legend of the classes by area.

    The picture's long side is brought to 640..1280 pixels. A background is dimmed instead of coloured.

    Args:
        image: [H, W, 3] uint8 RGB.
        labels: [H, W] class labels.
        palette: [C, 3] uint8 RGB.
        classes: C names.
        has_background: Class 0 is a background.
        title: A line above the picture.

    Returns:
        [H', W', 3] uint8 RGB.
    """
    long_side = max(labels.shape)
    scale = min(max(long_side, OVERLAY_SIDES[0]), OVERLAY_SIDES[1]) / long_side
    height, width = (max(round(side * scale), 1) for side in labels.shape)
    picture = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
    rows, columns = (np.arange(new) * old // new for new, old in ((height, labels.shape[0]), (width, labels.shape[1])))
    shown = labels[rows[:, None], columns]

    shares = count_labels(labels, len(classes)) / labels.size
    palette = told_apart(palette, np.flatnonzero(shares).tolist())
    blended = OVERLAY_TRANSPARENCY * picture + (1 - OVERLAY_TRANSPARENCY) * colour(shown, palette)
    if has_background:
        grey = picture.mean(axis=2, keepdims=True)
        blended = np.where((shown == 0)[..., None], 0.25 * picture + 0.25 * grey, blended)
    blended[_contours(shown)] = 255

    order = [c for c in np.argsort(-shares, kind="stable").tolist() if shares[c] > 0]
    entries = [(f"{classes[c]}  {_percent(shares[c])}", tuple(palette[c].tolist())) for c in order[:LEGEND_ENTRIES]]
    if len(order) > LEGEND_ENTRIES:
        rest = shares[order[LEGEND_ENTRIES:]].sum()
        entries.append((f"{len(order) - LEGEND_ENTRIES} more  {_percent(rest)}", (255, 255, 255)))
    font_size = round(max(width, OVERLAY_SIDES[0]) / LEGEND_SCALE)
    legend = _draw_legend(entries, max(width, OVERLAY_SIDES[0] // 2), font_size)
    top = font_size + 2 * _GAP if title else 0
    canvas = Image.new("RGB", (legend.width, top + height + legend.height), "white")
    if title:
        font = load_font(font_size)
        ImageDraw.Draw(canvas).text((_GAP, _GAP // 2), shorten(title, font, legend.width), fill="black", font=font)
    drawn = Image.fromarray(blended.astype(np.uint8))
    _write_names(drawn, shown, [(c, classes[c]) for c in order if c > 0 or not has_background])
    canvas.paste(drawn, (0, top))
    canvas.paste(legend, (0, top + height))
    return np.asarray(canvas)


def _contours(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """[H, W] pixels whose right or lower neighbour is of another class."""
    edges = np.zeros(labels.shape, bool)
    edges[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edges[:-1] |= labels[1:] != labels[:-1]
    return edges


def _write_names(picture: Image.Image, labels: npt.NDArray[np.integer], names: Sequence[tuple[int, str]]) -> None:
    """Write each class's name where its region is widest, as large as fits there and covers no larger class's name."""
    taken: list[tuple[float, float, float, float]] = []
    draw = ImageDraw.Draw(picture)
    sizes = [round(max(labels.shape) / scale) for scale in NAME_SCALES]
    for label, name in names[:LEGEND_ENTRIES]:
        region = np.pad((labels == label).astype(np.uint8), 1)  # beyond the border is outside
        distance = cv2.distanceTransform(region, cv2.DIST_L2, 3)[1:-1, 1:-1]
        # Along a strip: its middle. (numpy finds places in one line twenty times as fast as rows and columns.)
        rows, columns = np.divmod(np.flatnonzero(distance >= 0.9 * distance.max()), distance.shape[1])
        middle = ((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin()
        y, x = int(rows[middle]), int(columns[middle])
        for size in sizes:
            font = load_font(size)
            half = font.getlength(name) / 2
            high = 0.6 * size
            if distance[y, x] < 1.2 * high or not half < x < labels.shape[1] - half:
                continue
            if any(abs(x - left) < half + reach and abs(y - row) < high + rise for left, row, reach, rise in taken):
                continue
            taken.append((x, y, half, high))
            stroke = max(round(size / 9), 1)
            draw.text((x, y), name, "white", font, "mm", stroke_width=stroke, stroke_fill=(40, 40, 40))
            break


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _fit(picture: Array) -> Image.Image:
    """A picture in the size of a panel's."""
    fitted = Image.fromarray(picture)
    if max(fitted.size) < MIN_SIDE:
        scale = MIN_SIDE / max(fitted.size)
        return fitted.resize((max(round(fitted.width * scale), 1), max(round(fitted.height * scale), 1)))
    fitted.thumbnail((MAX_SIDE, MAX_SIDE))
    return fitted


def _draw_legend(entries: Sequence[tuple[str, tuple[int, ...]]], width: int, font_size: int) -> Image.Image:
    """Names beside their colours, in as many rows as the width makes necessary."""
    font = load_font(font_size)
    swatch, line = font_size + _GAP, font_size + 2 * _GAP
    places: list[tuple[int, int, str, tuple[int, ...]]] = []
    left, row = _GAP, 0
    for text, shade in entries:
        name = shorten(text, font, width - swatch - 2 * _GAP)
        length = swatch + int(font.getlength(name)) + 3 * _GAP
        if left + length > width and left > _GAP:
            left, row = _GAP, row + 1
        places.append((left, _GAP + row * line, name, shade))
        left += length
    legend = Image.new("RGB", (width, (row + 1) * line + 2 * _GAP), "white")
    draw = ImageDraw.Draw(legend)
    for left, top, name, shade in places:
        draw.rectangle((left, top, left + font_size, top + font_size), fill=shade, outline="grey")
        draw.text((left + swatch, top + font_size // 2), name, fill="black", font=font, anchor="lm")
    return legend


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Break a text between words, into lines that fit; a word that does not is cut off."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = shorten(longer, font, width)
        else:
            lines.append(shorten(word, font, width))
    return lines


def shorten(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """Cut a text at its end until it fits."""
    if font.getlength(text) <= width:
        return text
    while len(text) > 1 and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
