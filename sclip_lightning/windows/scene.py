"""What is known of an image before any of it is segmented: the input of every step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.windows.grid import WindowGrid, cut_windows

__all__ = ["Scene", "Texts", "Windows", "nearest"]


@dataclass(frozen=True, eq=False)
class Texts:
    """Embeddings of all names of all classes.

    Attributes:
        queries: [Q, E] float32, L2-normalised, one row a name.
        classes: [Q] int64, the class of each name; every class 0..C-1 has at least one.
    """

    queries: Tensor
    classes: Tensor


@dataclass(frozen=True, eq=False)
class Windows:
    """All windows of one image.

    Attributes:
        image: [3, h, w] float32, the image that they are cut out of.
        grid: Where they lie.
        batch_size: Most windows that pass through a network together; it bounds memory.
    """

    image: Tensor
    grid: WindowGrid
    batch_size: int

    def __len__(self) -> int:
        return len(self.grid)

    @cached_property
    def pixels(self) -> Tensor:
        """[W, 3, a, b] float32, with margins of zeros where the grid has some."""
        return cut_windows(self.image[None], self.grid)

    def chunks(self) -> Iterator[Tensor]:
        """Yield ``pixels`` in order, at most ``batch_size`` windows at a time and about equally many each time.

        Each chunk is cut when it is asked for: with overlap, all windows take four times as much memory as the image.
        """
        step = -(-len(self) // -(-len(self) // self.batch_size))
        for start in range(0, len(self), step):
            yield cut_windows(self.image[None], self.grid, slice(start, start + step))

    def cut(self, map_: Tensor, chosen: slice = slice(None)) -> Tensor:
        """Cut any map of the image into the same windows.

        Args:
            map_: [C, H, W] of any dtype and any size; it is brought to the image's by :func:`nearest`.
            chosen: Which of the windows; all by default.

        Returns:
            [W, C, a, b] of the same dtype, with margins of zeros where the grid has some.
        """
        return cut_windows(nearest(map_, self.grid.image_size)[None], self.grid, chosen)

    def corners(self) -> Tensor:
        """[W, 2] float32, the (y, x) of each window's first pixel in the image, margins not counted."""
        return torch.tensor([(float(y), float(x)) for y in self.grid.tops for x in self.grid.lefts])


@dataclass(frozen=True, eq=False)
class Scene:
    """One image with all its windows, and what its classes are called. Inputs only: no step writes into it.

    Attributes:
        pixels: [3, h, w] float32, the network's input: resized, in CLIP's normalisation.
        output_size: (H, W) of labels and maps in pixels.
        windows: The windows over ``pixels``.
        texts: The names of the classes.
        networks: Every network that the parts in use asked for, by name; CLIP's tower is ``clip``.
        rgb: [3, H, W] uint8, the image at its own size, or at that of maps which are smaller; None where nobody has it.
        regions: [H, W] int64, a class-agnostic segment per pixel at the same size; None where there are none.
    """

    pixels: Tensor
    output_size: tuple[int, int]
    windows: Windows
    texts: Texts
    networks: Mapping[str, Any] = field(default_factory=dict)
    rgb: Tensor | None = None
    regions: Tensor | None = None

    def image(self) -> Tensor:
        """``rgb``, for a step that is guided by the image itself.

        Raises:
            ConfigError: Nobody has given it.
        """
        if self.rgb is None:
            msg = "Refiners of probabilities are guided by the image itself: pass it as rgb, [3, H, W] uint8."
            raise ConfigError(msg)
        return self.rgb

    def resized_pixels(self, size: tuple[int, int]) -> Tensor:
        """``pixels`` at another size, bilinear; [3, *size] float32."""
        return F.interpolate(self.pixels[None].float(), size, mode="bilinear", align_corners=False)[0]


def nearest(map_: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a map [..., H, W] of any dtype to another size (rows, columns) by taking pixels.

    Row i of n is row floor(i * H / n), in float32: what ``interpolate(mode="nearest")`` takes of a float32 map, which
    authors' code uses for maps of segments. Exact arithmetic takes other rows for a few percent of all sizes.
    """
    if map_.shape[-2:] == size:
        return map_
    rows, columns = (_positions(*side, map_.device) for side in zip(map_.shape[-2:], size, strict=True))
    return map_[..., rows[:, None], columns]


def _positions(source: int, target: int, device: torch.device) -> Tensor:
    scale = torch.tensor(float(source), device=device) / target  # a Python number would be rounded twice
    return (torch.arange(target, device=device, dtype=torch.float32) * scale).long().clamp(max=source - 1)
