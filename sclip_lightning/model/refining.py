"""The size at which whole maps are refined: that of the image, or what a photograph is bounded to."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.windows import Scene, nearest

__all__ = ["REFINE_SIDE", "at_size", "refined_size"]

#: Short side in pixels beyond which maps are refined at a smaller size, unless another is given: that of Cityscapes'
#: images, the largest of all benchmarks here. A photograph of 12 megapixels is refined at 1.4.
REFINE_SIDE = 1024


def refined_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size at which maps of an image are refined.

    As large as fits, and never larger than the image: a short side of at most ``side`` pixels, and at most two squares
    of that side together, so that a panorama is bounded, too. Both sides are rounded half up.

    Args:
        size: (H, W) of the image in pixels.
        side: Most pixels of the short side; 0 bounds nothing.
    """
    height, width = size
    if side == 0 or (min(size) <= side and height * width <= 2 * side * side):
        return size
    factor = min(side / min(size), (2 * side * side / (height * width)) ** 0.5)
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def at_size(scene: Scene, size: tuple[int, int]) -> Scene:
    """A scene whose maps have another size: the image is averaged down to it, segments are taken pixel by pixel."""
    if size == scene.output_size:
        return scene
    rgb = None if scene.rgb is None else _averaged(scene.rgb, size)
    regions = None if scene.regions is None else nearest(scene.regions, size)
    return replace(scene, output_size=size, rgb=rgb, regions=regions)


def _averaged(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    """[3, H, W] uint8 at a smaller size, bilinear with antialiasing; a channel at a time, since float takes 4 times."""
    channels = [
        F.interpolate(one[None, None].float(), size, mode="bilinear", antialias=True)[0, 0].round().clamp(0, 255).byte()
        for one in rgb
    ]
    return torch.stack(channels)
