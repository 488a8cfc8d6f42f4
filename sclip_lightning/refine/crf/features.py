"""Positions and colours of pixels in units of a Gaussian's standard deviations."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import at_least

__all__ = ["CheckedWidths", "Widths", "image_features", "pixel_features"]

#: Standard deviations of a Gaussian: one for all axes, or one for each.
Widths = float | Sequence[float]
#: The same as a field of a part.
CheckedWidths = Annotated[Widths, at_least(0.01)]


def pixel_features(height: int, width: int, sxy: Widths, device: torch.device) -> Tensor:
    """Positions (x, y) of the pixels of an image, row by row, in units of ``sxy``; [H * W, 2] float32."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1) / _widths(sxy, 2, device)


def image_features(image: Tensor, sxy: Widths, srgb: Widths) -> Tensor:
    """Positions and colours (x, y, r, g, b) of the pixels of an image, row by row.

    Args:
        image: [3, H, W] uint8 RGB.
        sxy: Unit of the positions in pixels, or [x, y].
        srgb: Unit of the colours in grey levels, or [r, g, b].

    Returns:
        [H * W, 5] float32.

    Raises:
        ConfigError: A width below 0.01, or not as many widths as axes.
    """
    _, height, width = image.shape
    positions = pixel_features(height, width, sxy, image.device)
    return torch.cat([positions, image.flatten(1).T / _widths(srgb, 3, image.device)], dim=1)


def _widths(widths: Widths, axes: int, device: torch.device) -> Tensor:
    tensor = torch.tensor(widths, dtype=torch.float32, device=device)
    if tensor.shape not in ((), (axes,)) or not tensor.min() >= 0.01:
        msg = f"Gaussian width {widths!r}: one number, or one for each of {axes} axes, of at least 0.01 is expected."
        raise ConfigError(msg)
    return tensor
