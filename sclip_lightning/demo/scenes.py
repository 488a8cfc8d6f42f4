"""Drawing the demo's scenes: textures side by side, objects over them, and what a camera does to both."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from sclip_lightning.demo.drawings import COLOURS, DRAWINGS, Part
from sclip_lightning.demo.textures import TEXTURES, Image, noise

__all__ = ["CLASSES", "HELD_OUT", "Region", "Scene", "Split", "draw_scene"]

#: Eight textures, then twelve objects; the order of the labels.
CLASSES = (*TEXTURES, *DRAWINGS)

#: No training scene shows these, some test scenes do: one colour per object.
HELD_OUT = frozenset(zip(DRAWINGS, (*COLOURS, *COLOURS), strict=False))

#: Scenes of different splits share no seed. Hyper-parameters are chosen on ``val``; ``test`` is what users score.
Split = Literal["train", "val", "test"]
_STREAMS: dict[Split, int] = {"train": 1, "val": 2, "test": 3}

#: (H, W) in pixels.
SIZES = ((192, 256), (192, 256), (256, 192), (208, 240))

#: Label of contours, as in PASCAL VOC; not imported from ``data``, which imports this.
CONTOUR_LABEL = 255

#: Everything is drawn at twice the size and averaged down, which antialiases it.
_FINER = 2

#: Objects that lie any way round; the others stand upright, more or less.
_WITHOUT_TOP = ("ball", "star", "snake", "butterfly")

#: Fractional bits of the coordinates that OpenCV draws with.
_SHIFT = 4


@dataclass(frozen=True)
class Region:
    """One texture or object of a scene.

    Attributes:
        name: Class name.
        colour: Name of an object's colour, None for a texture.
    """

    name: str
    colour: str | None = None


@dataclass(frozen=True)
class Scene:
    """One picture with everything known about it.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        regions: What the picture is made of, from the back to the front.
        layout: [H, W] uint8, the index into ``regions`` that every pixel shows.
        labels: [H, W] uint8, the class index of every pixel, 255 in a ring of two pixels around every contour.
    """

    image: npt.NDArray[np.uint8]
    regions: tuple[Region, ...]
    layout: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


def draw_scene(split: Split, index: int) -> Scene:
    """Draw one scene; the same arguments always give the same scene.

    Args:
        split: ``train`` never shows the combinations in ``HELD_OUT``.
        index: Number of the scene in its split, from 0 without an end.
    """
    rng = np.random.default_rng([_STREAMS[split], index])
    height, width = SIZES[rng.integers(len(SIZES))]
    canvas, layout, regions = _draw_stuff(rng, height * _FINER, width * _FINER)
    for _ in range(rng.choice((1, 2, 3, 4), p=(0.2, 0.35, 0.3, 0.15))):
        region = _choose_thing(rng, held_out_too=split != "train")
        _draw_thing(rng, canvas, layout, region, len(regions))
        regions.append(region)
    image = _photograph(rng, canvas, height, width)
    layout = np.ascontiguousarray(layout[::_FINER, ::_FINER])
    classes = np.array([CLASSES.index(region.name) for region in regions], np.uint8)
    labels = classes[layout]
    square = np.ones((3, 3), np.uint8)
    labels[cv2.dilate(labels, square) != cv2.erode(labels, square)] = CONTOUR_LABEL
    return Scene(image, tuple(regions), layout, labels)


def _draw_stuff(
    rng: np.random.Generator, height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], list[Region]]:
    names = [str(name) for name in rng.permutation(list(TEXTURES))[: rng.choice((1, 2, 3), p=(0.2, 0.5, 0.3))]]
    layout = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for index in range(1, len(names)):
        wobble = 14 * noise(rng, height, width, 70, 70)
        if rng.random() < 0.7:  # half-plane, mostly below a horizon
            angle = rng.normal(np.pi / 2, 0.25) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
            offset = rng.uniform(-0.2, 0.25) * min(height, width)
            inside = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle) + wobble > offset
        else:  # island
            a, b = rng.uniform(0.2, 0.4, 2) * (width, height)
            cx, cy = rng.uniform(0.2, 0.8, 2) * (width, height)
            inside = np.hypot((x - cx) / a, (y - cy) / b) + wobble / 100 < 1
        layout[inside] = index
    canvas = np.zeros((height, width, 3), np.float32)
    for index, name in enumerate(names):
        shown = layout == index
        canvas[shown] = TEXTURES[name](rng, height, width)[shown]
    return _to_bytes(canvas), layout, [Region(name) for name in names]


def _choose_thing(rng: np.random.Generator, held_out_too: bool) -> Region:
    while True:
        name, colour = str(rng.choice(list(DRAWINGS))), str(rng.choice(list(COLOURS)))
        if held_out_too or (name, colour) not in HELD_OUT:
            return Region(name, colour)


def _draw_thing(
    rng: np.random.Generator,
    canvas: npt.NDArray[np.uint8],
    layout: npt.NDArray[np.uint8],
    region: Region,
    index: int,
) -> None:
    """Draw an object over ``canvas`` and ``layout``, in place."""
    height, width = layout.shape
    size = _FINER * rng.uniform(27, 58)
    centre = rng.uniform(0.15, 0.85, 2) * (width, height)
    turn = np.radians(rng.uniform(0, 360) if region.name in _WITHOUT_TOP else rng.normal(0, 10))
    stretch = np.array([rng.choice((-1.0, 1.0)) * rng.uniform(0.88, 1.12), 1.0])
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = size * stretch[:, None] * np.array([[cos, sin], [-sin, cos]])
    tint = np.clip(np.array(COLOURS[region.colour or ""]) + rng.normal(0, 0.04, 3), 0, 1).tolist()
    reach = np.ceil(1.5 * size).astype(int)
    left, top = np.maximum(np.round(centre).astype(int) - reach, 0)
    box = (slice(top, int(centre[1]) + reach), slice(left, int(centre[0]) + reach))
    under, layout = canvas[box], layout[box]
    drawn = np.zeros_like(layout)
    picture = under.copy()
    for part in DRAWINGS[region.name]((tint[0], tint[1], tint[2])):
        points = np.round((part.points @ matrix + centre - (left, top)) * 2**_SHIFT).astype(np.int32)[None]
        _draw_part(picture, part, points, size, [255 * channel for channel in part.colour], cv2.LINE_AA)
        _draw_part(drawn, part, points, size, 1, cv2.LINE_8)
    y, x = np.mgrid[: drawn.shape[0], : drawn.shape[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0.05, 0.2) * (np.cos(angle) * x + np.sin(angle) * y - reach) / size
    speckle = 1 + 0.03 * noise(rng, drawn.shape[0], drawn.shape[1], 3, 3)
    shown = cv2.GaussianBlur(drawn.astype(np.float32), (3, 3), 0)[..., None]
    under[:] = _to_bytes((shown * picture * (light * speckle)[..., None] + (1 - shown) * under) / 255)
    layout[drawn > 0] = index


def _draw_part(
    target: npt.NDArray[np.uint8], part: Part, points: npt.NDArray[np.int32], size: float, colour: object, line: int
) -> None:
    if part.width:
        thickness = max(1, round(part.width * size))
        cv2.polylines(target, points, False, colour, thickness, line, _SHIFT)  # type: ignore[call-overload]
    else:
        cv2.fillPoly(target, points, colour, line, _SHIFT)  # type: ignore[call-overload]


def _photograph(
    rng: np.random.Generator, canvas: npt.NDArray[np.uint8], height: int, width: int
) -> npt.NDArray[np.uint8]:
    """Average down to the final size under uneven light, slightly blurred, with the noise of a sensor."""
    small = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.float32) / 255
    picture = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 0.7))
    light = rng.uniform(0.85, 1.1) + 0.06 * noise(rng, height, width, height, width)
    balance = rng.normal(1, 0.03, 3)
    grain = rng.uniform(0.01, 0.035) * rng.standard_normal(small.shape, dtype=np.float32)
    return _to_bytes(picture * light[..., None] * balance + grain)


def _to_bytes(picture: Image) -> npt.NDArray[np.uint8]:
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
