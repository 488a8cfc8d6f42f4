"""Joint bilateral filtering of probabilities guided by the image.

The filter is that of Petschnigg et al., "Digital Photography with Flash and No-Flash Image Pairs", SIGGRAPH 2004, on
the lattice of Adams, Baek and Davis, Eurographics 2010. To refine class probabilities with it is this package's own
idea: no published figures have it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sclip_lightning.refine.crf.features import CheckedWidths, Widths, image_features
from sclip_lightning.refine.crf.permutohedral import PermutohedralLattice
from sclip_lightning.windows import Extent, MapStep, Scene

__all__ = ["Bilateral", "bilateral"]


@dataclass(frozen=True)
class Bilateral(MapStep):
    """Smooth class probabilities along the image's edges; see :func:`bilateral`.

    Args:
        sxy: Standard deviation in pixels, or [x, y].
        srgb: Standard deviation in grey levels 0..255, or [r, g, b].
    """

    works_on = "probabilities"

    sxy: CheckedWidths = 10
    srgb: CheckedWidths = 13

    def __call__(self, maps: Tensor, scene: Scene) -> Tensor:
        """Filter [C, H, W] float32 probabilities by the image itself; returns [C, H, W] float32."""
        return bilateral(maps, scene.image(), self.sxy, self.srgb)

    def memory(self, extent: Extent) -> int:
        """Probabilities as they come, divided by the norm, filtered and multiplied again; and the lattice."""
        return extent.pixels * (4 * 4 * extent.classes + PermutohedralLattice.BYTES)


@torch.no_grad()
def bilateral(probabilities: Tensor, image: Tensor, sxy: Widths = 10, srgb: Widths = 13) -> Tensor:
    """Average every pixel's probabilities over pixels that are near in place and in colour.

    The joint bilateral filter with Gaussian weights, on the permutohedral lattice: its time does not depend on the
    widths. The lattice makes the weights only roughly Gaussian, but they are positive and add up to 1.

    Args:
        probabilities: [C, H, W] float32.
        image: [3, H, W] uint8 RGB, on the same device.
        sxy: Standard deviation in pixels, or [x, y].
        srgb: Standard deviation in grey levels 0..255, or [r, g, b].

    Returns:
        [C, H, W] float32 within the range of the class's probabilities.

    Raises:
        ConfigError: Widths so small that the lattice cannot be numbered.
    """
    lattice = PermutohedralLattice(image_features(image, sxy, srgb))
    # The lattice normalises on both sides; undone before it and repeated after it, it is all done after it.
    filtered = lattice.filter(probabilities.float().flatten(1).T / lattice.norm) * lattice.norm
    return filtered.T.unflatten(1, probabilities.shape[1:])
