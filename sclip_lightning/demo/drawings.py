"""The "things" of the demo's scenes: twelve simple drawn objects, each in one of eight colours.

A drawing is a list of parts in its own coordinates, x to the right and y down, roughly within [-1, 1]. Each part is a
polygon or a stroke with a colour; later parts cover earlier ones, and the object's mask is the union of all parts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["COLOURS", "DRAWINGS", "Part"]

#: Colours that captions name, as RGB in [0, 1].
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.82, 0.1, 0.12),
    "orange": (0.96, 0.5, 0.08),
    "yellow": (0.97, 0.85, 0.15),
    "green": (0.12, 0.62, 0.22),
    "blue": (0.12, 0.28, 0.82),
    "purple": (0.52, 0.16, 0.68),
    "pink": (0.97, 0.5, 0.7),
    "white": (0.95, 0.95, 0.95),
}

_BLACK = (0.08, 0.08, 0.1)
_CREAM = (0.93, 0.87, 0.72)
_BROWN = (0.42, 0.26, 0.13)
_GOLD = (0.98, 0.8, 0.2)
_STEM = (0.2, 0.5, 0.15)

Colour = tuple[float, float, float]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One polygon or stroke of a drawing.

    Attributes:
        points: [N, 2] x and y.
        colour: RGB in [0, 1].
        width: Width of a stroke along the points; 0 fills the polygon.
    """

    points: Points
    colour: Colour
    width: float = 0.0


def _ellipse(
    x: float, y: float, a: float, b: float, start: float = 0.0, end: float = 360.0, turn: float = 0.0
) -> Points:
    """An arc of an ellipse about (x, y), angles in degrees, clockwise on the screen from the right."""
    angles = np.radians(np.linspace(start, end, max(8, int(abs(end - start) / 9))))
    offsets = np.stack([a * np.cos(angles), b * np.sin(angles)], 1)
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return np.asarray(offsets @ np.array([[cos, sin], [-sin, cos]]) + (x, y))


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    r, g, b = (np.array(colour) * (1 - share) + np.array(other) * share).tolist()
    return r, g, b


def _dark(colour: Colour, share: float = 0.4) -> Colour:
    return _mixed(colour, (0.0, 0.0, 0.0), share)


def _light(colour: Colour, share: float = 0.5) -> Colour:
    return _mixed(colour, (1.0, 1.0, 1.0), share)


def _polygon(*points: tuple[float, float]) -> Points:
    return np.array(points)


def _ball(colour: Colour) -> list[Part]:
    parts = [Part(_ellipse(0, 0, 0.9, 0.9), _CREAM)]
    for start in (0, 120, 240):
        wedge = np.concatenate([[[0.0, -0.15]], _ellipse(0, 0, 0.9, 0.9, start, start + 60)])
        parts.append(Part(wedge, colour))
    return [
        *parts,
        Part(_ellipse(0, -0.15, 0.16, 0.16), _dark(colour)),
        Part(_ellipse(0, 0, 0.88, 0.88), _dark(colour), 0.06),
    ]


def _star_points(radius: float, inner: float = 0.42) -> Points:
    angles = np.radians(np.arange(10) * 36 - 90)
    radii = np.where(np.arange(10) % 2 == 0, radius, radius * inner)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)


def _star(colour: Colour) -> list[Part]:
    return [
        Part(_star_points(1.0), _dark(colour)),
        Part(_star_points(0.86), colour),
        *(Part(np.stack([np.zeros(2), 0.8 * tip]), _light(colour), 0.05) for tip in _star_points(1.0)[::2]),
    ]


def _fish(colour: Colour) -> list[Part]:
    scales = [
        Part(_ellipse(x, y, 0.12, 0.14, -80, 80), _dark(colour), 0.045)
        for x in (-0.4, -0.18, 0.04, 0.26)
        for y in (-0.2, 0.02, 0.24)
    ]
    return [
        Part(_polygon((0.5, 0), (1.0, -0.5), (0.88, 0), (1.0, 0.5)), _dark(colour, 0.25)),
        Part(_polygon((-0.2, -0.4), (0.15, -0.72), (0.3, -0.35)), _dark(colour, 0.25)),
        Part(_ellipse(-0.1, 0, 0.8, 0.48), colour),
        *scales,
        Part(_ellipse(-0.62, -0.1, 0.11, 0.11), (1, 1, 1)),
        Part(_ellipse(-0.64, -0.1, 0.06, 0.06), _BLACK),
    ]


def _tree(colour: Colour) -> list[Part]:
    crown = [(-0.38, -0.2, 0.38), (0.38, -0.2, 0.38), (0, -0.52, 0.46), (-0.2, 0.02, 0.32), (0.22, 0.02, 0.32)]
    dots = [
        (-0.45, -0.3),
        (-0.1, -0.75),
        (0.2, -0.5),
        (0.45, -0.1),
        (-0.15, -0.2),
        (0.1, 0.1),
        (-0.35, 0.05),
        (0.5, -0.35),
    ]
    return [
        Part(_polygon((-0.1, 0.1), (0.1, 0.1), (0.16, 1.0), (-0.16, 1.0)), _BROWN),
        *(Part(_ellipse(x, y, r, r), _mixed(colour, (0.1, 0.45, 0.1), 0.35)) for x, y, r in crown),
        *(Part(_ellipse(x, y, 0.09, 0.09), colour) for x, y in dots),
        *(Part(_ellipse(x + 0.14, y + 0.1, 0.06, 0.06), _dark(colour, 0.55)) for x, y in dots),
    ]


def _house(colour: Colour) -> list[Part]:
    windows = [(-0.42, 0.1), (0.42, 0.1)]
    return [
        Part(_polygon((-0.75, -0.15), (0.75, -0.15), (0.75, 0.9), (-0.75, 0.9)), colour),
        Part(_polygon((-0.95, -0.12), (0, -0.95), (0.95, -0.12)), (0.35, 0.2, 0.2)),
        Part(_polygon((-0.15, 0.35), (0.15, 0.35), (0.15, 0.9), (-0.15, 0.9)), _BROWN),
        *(Part(_ellipse(x, y, 0.19, 0.19, 45, 405, 0), _light((0.5, 0.7, 0.9))) for x, y in windows),
        *(Part(_polygon((x - 0.19, y), (x + 0.19, y)), _BLACK, 0.05) for x, y in windows),
        *(Part(_polygon((x, y - 0.19), (x, y + 0.19)), _BLACK, 0.05) for x, y in windows),
    ]


def _boat(colour: Colour) -> list[Part]:
    return [
        Part(_polygon((0, 0.4), (0, -1.0)), _BROWN, 0.09),
        Part(_polygon((0.08, -0.9), (0.08, 0.25), (0.75, 0.25)), (0.97, 0.97, 0.95)),
        Part(_polygon((-0.08, -0.75), (-0.08, 0.25), (-0.55, 0.25)), _light(colour, 0.35)),
        Part(_polygon((-0.95, 0.38), (0.95, 0.38), (0.6, 0.85), (-0.65, 0.85)), colour),
        Part(_polygon((-0.85, 0.5), (0.85, 0.5)), _dark(colour), 0.07),
    ]


def _flower(colour: Colour) -> list[Part]:
    centre = -0.35
    petals = [(0.36 * np.cos(a), centre + 0.36 * np.sin(a)) for a in np.radians(np.arange(6) * 60)]
    return [
        Part(_polygon((0, 0), (0.05, 0.5), (0, 1.0)), _STEM, 0.09),
        Part(_ellipse(0.25, 0.6, 0.26, 0.1, turn=-35), _STEM),
        *(Part(_ellipse(x, y, 0.26, 0.26), colour) for x, y in petals),
        *(Part(_ellipse(x, y, 0.24, 0.24), _dark(colour, 0.3), 0.04) for x, y in petals),
        Part(_ellipse(0, centre, 0.2, 0.2), _GOLD),
        Part(_ellipse(0, centre, 0.09, 0.09), (0.7, 0.4, 0.05)),
    ]


def _mushroom(colour: Colour) -> list[Part]:
    dots = [(-0.5, -0.25, 0.11), (0, -0.5, 0.15), (0.48, -0.22, 0.12), (-0.15, -0.12, 0.1), (0.22, -0.15, 0.08)]
    return [
        Part(_polygon((-0.22, -0.1), (0.22, -0.1), (0.3, 0.9), (-0.3, 0.9)), _CREAM),
        Part(_polygon((-0.26, 0.25), (0.26, 0.25)), _dark(_CREAM, 0.25), 0.07),
        Part(_ellipse(0, 0.05, 0.9, 0.85, 180, 360), colour),
        *(Part(_ellipse(x, y, r, r), (1, 1, 1)) for x, y, r in dots),
    ]


def _umbrella(colour: Colour) -> list[Part]:
    edges = np.linspace(-0.95, 0.95, 6)
    panels = []
    for i in range(5):
        left, right = edges[i], edges[i + 1]
        top = [(0.0, -0.85), (left, 0.0)]
        bow = _ellipse((left + right) / 2, 0.0, (right - left) / 2, 0.12, 180, 360)
        shade = colour if i % 2 == 0 else _light(colour, 0.6)
        bulge = _ellipse(0, 0, 0.95, 0.85, 180 + 36 * i, 180 + 36 * (i + 1))
        panels.append(Part(np.concatenate([[top[0]], bulge, bow[::-1]]), shade))
    hook = np.concatenate([_polygon((0, -0.9), (0, 0.8)), _ellipse(0.14, 0.8, 0.14, 0.15, 180, 20)])
    return [Part(hook, _BLACK, 0.08), *panels]


def _balloon(colour: Colour) -> list[Part]:
    drop = np.linspace(0.35, 1.0, 12)
    string = np.stack([0.07 * np.sin(12 * drop), drop], 1)
    return [
        Part(string, _CREAM, 0.055),
        Part(_polygon((-0.09, 0.4), (0.09, 0.4), (0, 0.25)), _dark(colour)),
        Part(_ellipse(0, -0.32, 0.56, 0.64), _dark(colour, 0.15)),
        Part(_ellipse(-0.05, -0.36, 0.46, 0.54), colour),
        Part(_ellipse(-0.22, -0.55, 0.14, 0.22, turn=25), _light(colour, 0.75)),
    ]


def _butterfly(colour: Colour) -> list[Part]:
    parts = []
    for side in (-1, 1):
        parts += [
            Part(_ellipse(side * 0.48, -0.32, 0.5, 0.4, turn=side * 30), _BLACK),
            Part(_ellipse(side * 0.38, 0.42, 0.36, 0.32, turn=-side * 30), _BLACK),
            Part(_ellipse(side * 0.48, -0.32, 0.4, 0.3, turn=side * 30), colour),
            Part(_ellipse(side * 0.38, 0.42, 0.27, 0.23, turn=-side * 30), _mixed(colour, _GOLD, 0.35)),
            Part(_ellipse(side * 0.6, -0.4, 0.12, 0.1), (1, 1, 1)),
            Part(_polygon((0, -0.5), (side * 0.2, -0.95)), _BLACK, 0.05),
        ]
    return [*parts, Part(_ellipse(0, 0, 0.1, 0.6), _BROWN)]


def _snake(colour: Colour) -> list[Part]:
    x = np.linspace(-0.8, 0.9, 40)
    body = np.stack([x, 0.42 * np.sin(4.6 * x)], 1)
    rings = [Part(body[i : i + 3], _dark(colour, 0.55), 0.27) for i in range(4, 38, 5)]
    head = body[0]
    return [
        Part(_polygon((head[0] - 0.1, head[1]), (head[0] - 0.34, head[1] + 0.06)), (0.85, 0.1, 0.2), 0.05),
        Part(body, colour, 0.28),
        *rings,
        Part(_ellipse(head[0], head[1], 0.22, 0.18), colour),
        Part(_ellipse(head[0] - 0.07, head[1] - 0.06, 0.06, 0.06), _BLACK),
    ]


#: Parts of each object in a colour, by class name.
DRAWINGS: dict[str, Callable[[Colour], list[Part]]] = {
    "ball": _ball,
    "star": _star,
    "fish": _fish,
    "tree": _tree,
    "house": _house,
    "boat": _boat,
    "flower": _flower,
    "mushroom": _mushroom,
    "umbrella": _umbrella,
    "balloon": _balloon,
    "butterfly": _butterfly,
    "snake": _snake,
}
