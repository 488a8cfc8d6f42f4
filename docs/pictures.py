"""Draws the picture on top of README from the demo: ``python docs/pictures.py``.

Scenes are the demo's first ones, not chosen ones; labels are those that two runs of ``sclip test`` write, the second
and the last but one row of the demo's table. Takes half a minute on a CPU.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sclip_lightning.cli import main
from sclip_lightning.demo.benchmark import Demo
from sclip_lightning.pictures.drawing import colour

__all__ = ["PICTURE", "draw", "draw_rows"]

PICTURE = Path(__file__).parent / "images/demo.png"

#: Runs by the heading of their column: what is given to ``sclip test`` besides ``--config demo.yaml``.
RUNS: dict[str, list[str]] = {"SCLIP": ["--config", "demo/baseline.yaml"], "SCLIP + ResCLIP, LoftUp, DenseCRF": []}
#: How many scenes, a row each.
SCENES = 3
#: Pixels: width of one picture, space between two, height of the font.
WIDTH, GAP, FONT = 320, 8, 16
#: Share of the image that shows through its labels: little, so that colours are those of the legend.
TRANSPARENCY = 0.2

Array = npt.NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw(path: Path = PICTURE, scenes: int = SCENES) -> None:
    """Segment the first scenes both ways and draw them beside image and ground truth.

    Args:
        path: The PNG to write.
        scenes: How many.
    """
    data = Demo(num_samples=scenes)
    data.setup()
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in RUNS.items():
            _run(["--config", "demo.yaml", *arguments, "--output_dir", folder, "--name", name], scenes)
        rows = []
        for index, files in enumerate(data.dataset.files):
            image, truth = np.asarray(Image.open(files.image).convert("RGB")), data.dataset.target(index)
            labels = [np.asarray(Image.open(f"{folder}/Demo/{name}/labels/{files.id}.png")) for name in RUNS]
            rows.append((image, [truth, *labels]))
    picture = draw_rows(rows, ["image", "ground truth", *RUNS], data.benchmark.palette, data.benchmark.classes)
    path.parent.mkdir(exist_ok=True)
    _with_few_colours(picture, data.benchmark.palette).save(path, optimize=True)


def draw_rows(
    rows: Sequence[tuple[Array, Sequence[npt.NDArray[np.integer]]]],
    titles: Sequence[str],
    palette: Array,
    classes: Sequence[str],
) -> Image.Image:
    """Draw one row per image: the image, then its label maps over it, and below all a legend.

    Args:
        rows: Images [H, W, 3] uint8 RGB, each with label maps [H, W]; the first of them is the ground truth.
        titles: What stands above the columns, the image's included.
        palette: [C, 3] uint8 RGB.
        classes: C names.
    """
    font = ImageFont.load_default(FONT)
    strips = [_strip(image, maps, palette) for image, maps in rows]
    width = strips[0].width + 2 * GAP
    present = {int(label) for _, maps in rows for map_ in maps for label in np.unique(map_)}
    shown = sorted(present & {*range(len(classes))})
    legend = _legend([(classes[label], tuple(palette[label].tolist())) for label in shown], width, font)
    top = FONT + 2 * GAP
    canvas = Image.new("RGB", (width, top + sum(strip.height + GAP for strip in strips) + legend.height), "white")
    pen = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        middle = GAP + column * (WIDTH + GAP) + WIDTH / 2
        pen.text((middle, top / 2), title, "black", font, "mm")
    for strip in strips:
        canvas.paste(strip, (GAP, top))
        top += strip.height + GAP
    canvas.paste(legend, (0, top))
    return canvas


def _with_few_colours(picture: Image.Image, palette: Array) -> Image.Image:
    """The picture in 256 colours, which take a third of the space; the classes' own are among them."""
    free = 256 - len(palette)
    found = picture.quantize(free, kmeans=3).getpalette() or []
    colours = Image.new("P", (1, 1))
    colours.putpalette([*found[: 3 * free], *palette.flatten().tolist()])
    return picture.quantize(palette=colours, dither=Image.Dither.NONE)


def _run(arguments: list[str], scenes: int) -> None:
    """A run of ``sclip test`` that keeps its label maps and draws nothing."""
    quiet = ["--data.num_workers=0", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    quiet += ["--panels.count=0", "--ranked_panels.worst=0", "--ranked_panels.median=0"]
    main(["test", *arguments, f"--data.num_samples={scenes}", "--predictions.labels=true", *quiet])


def _strip(image: Array, maps: Sequence[npt.NDArray[np.integer]], palette: Array) -> Image.Image:
    """One image and its label maps side by side, white lines where a label ends."""
    height = round(WIDTH * image.shape[0] / image.shape[1])
    large = Image.fromarray(image).resize((WIDTH, height), Image.Resampling.LANCZOS)
    strip = Image.new("RGB", ((len(maps) + 1) * (WIDTH + GAP) - GAP, height), "white")
    strip.paste(large, (0, 0))
    rows, columns = np.arange(height) * image.shape[0] // height, np.arange(WIDTH) * image.shape[1] // WIDTH
    for column, map_ in enumerate(maps, start=1):
        labels = map_[rows[:, None], columns].astype(np.int64)
        blended = TRANSPARENCY * np.asarray(large) + (1 - TRANSPARENCY) * colour(labels, palette)
        blended[:-1][labels[1:] != labels[:-1]] = 255
        blended[:, :-1][labels[:, 1:] != labels[:, :-1]] = 255
        strip.paste(Image.fromarray(blended.astype(np.uint8)), (column * (WIDTH + GAP), 0))
    return strip


def _legend(
    entries: Sequence[tuple[str, tuple[int, ...]]], width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Image.Image:
    """Names beside their colours, in as many lines as the width makes necessary."""
    places, left, line = [], GAP, 0
    for name, shade in entries:
        length = FONT + GAP + int(font.getlength(name)) + 3 * GAP
        if left + length > width and left > GAP:
            left, line = GAP, line + 1
        places.append((left, line * (FONT + GAP), name, shade))
        left += length
    legend = Image.new("RGB", (width, (line + 1) * (FONT + GAP) + GAP), "white")
    pen = ImageDraw.Draw(legend)
    for left, top, name, shade in places:
        pen.rectangle((left, top, left + FONT, top + FONT), fill=shade, outline="grey")
        pen.text((left + FONT + GAP, top + FONT / 2), name, "black", font, "lm")
    return legend


if __name__ == "__main__":
    draw()
