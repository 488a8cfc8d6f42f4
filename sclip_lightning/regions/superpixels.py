"""Segments from colours alone, without a network: scikit-image's. They cover every pixel and are numbered from 1."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch

from sclip_lightning.ranges import above, at_least
from sclip_lightning.regions.maker import LoadedMaker, RegionMaker, imported

__all__ = ["SLIC", "Felzenszwalb"]


@dataclass(frozen=True)
class Felzenszwalb(RegionMaker):
    """Segments of Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004.

    Neighbouring pixels are joined as long as their difference is small beside those within their segments, so that
    segments are as large as what they show.

    Args:
        scale: The larger, the larger segments are; differences of colours are counted from 0 to 255. The default, as
            the others, is that of scikit-image's comparison of segmentations.
        sigma: Standard deviation of the blur before, in pixels.
        min_size: Fewest pixels of a segment; smaller ones are joined to a neighbour.
    """

    scale: Annotated[float, above(0)] = 100.0
    sigma: Annotated[float, at_least(0)] = 0.5
    min_size: Annotated[int, at_least(1, whole=True)] = 50

    def load(self, device: torch.device) -> LoadedMaker:
        """Get ready to make maps, on the CPU whatever the device."""
        return _loaded(self, "felzenszwalb", scale=self.scale, sigma=self.sigma, min_size=self.min_size)


@dataclass(frozen=True)
class SLIC(RegionMaker):
    """Superpixels of Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 2012.

    Clusters of colour (CIELAB) and place that start on a grid, so that all segments are of about one size.

    Args:
        segments: About how many there are to be. The default, as the others, is that of scikit-image's comparison of
            segmentations.
        compactness: How much place counts beside colour; the larger, the squarer segments are.
        sigma: Standard deviation of the blur before, in pixels.
    """

    segments: Annotated[int, at_least(1, whole=True)] = 250
    compactness: Annotated[float, above(0)] = 10.0
    sigma: Annotated[float, at_least(0)] = 1.0

    def load(self, device: torch.device) -> LoadedMaker:
        """Get ready to make maps, on the CPU whatever the device."""
        numbers = {"n_segments": self.segments, "compactness": self.compactness, "sigma": self.sigma}
        return _loaded(self, "slic", **numbers, start_label=0)


def _loaded(maker: Felzenszwalb | SLIC, function: str, **numbers: Any) -> LoadedMaker:
    name = type(maker).__name__
    library = imported("skimage", "scikit-image", name)
    compute = getattr(imported("skimage.segmentation", "scikit-image", name), function)

    def segment(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        return np.asarray(compute(rgb, **numbers)).astype(np.int32) + 1  # 0 is for pixels without a segment

    return LoadedMaker(segment, name, asdict(maker), libraries={"skimage": library.__version__})
