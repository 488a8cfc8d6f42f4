"""The "stuff" of the demo's scenes: eight procedural textures."""

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["TEXTURES", "Image", "noise"]

#: [H, W, 3] float32 RGB, nominally in [0, 1].
Image: TypeAlias = npt.NDArray[np.float32]


def noise(rng: np.random.Generator, height: int, width: int, cell_y: float, cell_x: float) -> npt.NDArray[np.float32]:
    """Smooth noise [H, W] float32 of mean 0 and standard deviation about 1, with blobs of the given size in pixels."""
    rows, columns = max(2, round(height / cell_y) + 1), max(2, round(width / cell_x) + 1)
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _shade(base: npt.ArrayLike, amount: npt.NDArray[np.floating], towards: npt.ArrayLike = (1.0, 1.0, 1.0)) -> Image:
    """``base`` moved by ``amount`` [H, W] towards another colour (away from it where negative)."""
    base, towards = np.asarray(base, np.float32), np.asarray(towards, np.float32)
    return np.asarray(base + amount.astype(np.float32)[..., None] * (towards - base), dtype=np.float32)


def _sky(rng: np.random.Generator, height: int, width: int) -> Image:
    fall = np.linspace(0.0, rng.uniform(0.3, 0.6), height, dtype=np.float32)[:, None]
    clouds = np.clip(noise(rng, height, width, 40, 90) + 0.5 * noise(rng, height, width, 18, 40), 0, 2)
    base = np.array([rng.uniform(0.3, 0.5), rng.uniform(0.55, 0.68), rng.uniform(0.85, 0.95)])
    return _shade(base, np.clip(fall + 0.35 * clouds, 0, 0.95))


def _water(rng: np.random.Generator, height: int, width: int) -> Image:
    base = np.array([rng.uniform(0.02, 0.12), rng.uniform(0.3, 0.42), rng.uniform(0.45, 0.6)])
    waves = noise(rng, height, width, 5, 38) + 0.7 * noise(rng, height, width, 10, 80)
    glints = np.clip(noise(rng, height, width, 4, 22) - 1.2, 0, 1)
    return _shade(base, np.clip(0.13 * waves, -0.2, 0.5) + 0.6 * glints)


def _grass(rng: np.random.Generator, height: int, width: int) -> Image:
    base = np.array([rng.uniform(0.2, 0.35), rng.uniform(0.45, 0.6), rng.uniform(0.08, 0.2)])
    blades = noise(rng, height, width, 16, 3) + 0.5 * noise(rng, height, width, 8, 2)
    light = _shade(base, 0.2 * blades, towards=(0.75, 0.85, 0.35))
    return light * (1 + 0.1 * noise(rng, height, width, 60, 60))[..., None]


def _sand(rng: np.random.Generator, height: int, width: int) -> Image:
    base = np.array([rng.uniform(0.78, 0.88), rng.uniform(0.68, 0.76), rng.uniform(0.46, 0.56)])
    grain = rng.standard_normal((height, width), dtype=np.float32)
    ripples = np.sin(np.arange(height)[:, None] / rng.uniform(5, 9) + 2 * noise(rng, height, width, 50, 70))
    return _shade(base, 0.09 * grain + 0.05 * ripples, towards=(0.45, 0.35, 0.2))


def _brick(rng: np.random.Generator, height: int, width: int) -> Image:
    course, length, mortar = rng.integers(18, 26), rng.integers(44, 60), 3
    y, x = np.mgrid[:height, :width] + rng.integers(0, 100, 2)[:, None, None]
    row = y // course
    x = x + (row % 2) * (length // 2)
    joint = (y % course < mortar) | (x % length < mortar)
    tones = rng.standard_normal((97,)).astype(np.float32)[(row * 31 + x // length * 17) % 97]
    base = np.array([rng.uniform(0.55, 0.68), rng.uniform(0.22, 0.32), rng.uniform(0.15, 0.22)])
    bricks = _shade(base, 0.12 * tones + 0.06 * noise(rng, height, width, 3, 3), towards=(0.8, 0.5, 0.35))
    return np.where(joint[..., None], np.float32(rng.uniform(0.68, 0.8)), bricks).astype(np.float32)


def _wood(rng: np.random.Generator, height: int, width: int) -> Image:
    upright = rng.random() < 0.5
    across, along = (width, height) if upright else (height, width)
    plank = rng.integers(34, 54)
    position = np.arange(across) + rng.integers(0, plank)
    tones = rng.standard_normal(64).astype(np.float32)[position // plank % 64][:, None]
    grain = noise(rng, across, along, 3, 90) + 0.6 * noise(rng, across, along, 2, 40)
    base = np.array([rng.uniform(0.55, 0.66), rng.uniform(0.36, 0.43), rng.uniform(0.18, 0.24)])
    boards = _shade(base, 0.1 * grain + 0.12 * tones, towards=(0.85, 0.65, 0.4))
    boards[position % plank < 2] = (0.2, 0.12, 0.06)
    return np.ascontiguousarray(boards.swapaxes(0, 1)) if upright else boards


def _gravel(rng: np.random.Generator, height: int, width: int) -> Image:
    picture = np.full((height, width, 3), 0.25, np.float32)
    for x, y, a, b, turn, grey in _scattered(rng, height, width, spacing=11):
        tone = 0.35 + 0.45 * grey
        size = (int(5 + 4 * a), int(4 + 3 * b))
        cv2.ellipse(picture, (x, y), size, turn, 0, 360, (tone, tone * 0.98, tone * 0.95), -1, cv2.LINE_AA)
        cv2.ellipse(picture, (x - 1, y - 2), (size[0] // 2, size[1] // 2), turn, 0, 360, (tone + 0.1,) * 3, -1)
    return picture


def _leaves(rng: np.random.Generator, height: int, width: int) -> Image:
    picture = np.full((height, width, 3), (0.3, 0.14, 0.05), np.float32)
    tones = np.array([(0.85, 0.35, 0.08), (0.75, 0.18, 0.08), (0.92, 0.62, 0.12), (0.55, 0.25, 0.08)], np.float32)
    for x, y, a, b, turn, tone in _scattered(rng, height, width, spacing=13):
        colour = tones[int(tone * 4)] * (0.85 + 0.3 * b)
        size = (int(10 + 5 * a), int(4 + 2 * b))
        cv2.ellipse(picture, (x, y), size, turn, 0, 360, colour.tolist(), -1, cv2.LINE_AA)
        cv2.ellipse(picture, (x, y), (size[0], 0), turn, 0, 360, (colour * 0.6).tolist(), 1, cv2.LINE_AA)
    return picture


def _scattered(
    rng: np.random.Generator, height: int, width: int, spacing: int
) -> list[tuple[int, int, float, float, float, float]]:
    """Places on a jittered grid in random order: x, y, two numbers in [0, 1), an angle in degrees, one in [0, 1)."""
    y, x = np.mgrid[: height + spacing : spacing, : width + spacing : spacing]
    count = y.size
    places = np.stack([x.ravel(), y.ravel()], 1) + rng.integers(-spacing // 2, spacing // 2 + 1, (count, 2))
    values = rng.random((count, 4))
    return [
        (int(places[i, 0]), int(places[i, 1]), values[i, 0], values[i, 1], 180 * values[i, 2], values[i, 3])
        for i in rng.permutation(count)
    ]


#: Painters of [H, W, 3] pictures, by class name.
TEXTURES: dict[str, Callable[[np.random.Generator, int, int], Image]] = {
    "sky": _sky,
    "water": _water,
    "grass": _grass,
    "sand": _sand,
    "brick": _brick,
    "wood": _wood,
    "gravel": _gravel,
    "leaves": _leaves,
}
