"""One's own image as a segmentor takes it: read, resized and normalised, all on the CPU and without a network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor, from_numpy

from sclip_lightning.data.reading.images import ImageInput, RegionsInput, to_rgb
from sclip_lightning.data.reading.layout import expand
from sclip_lightning.data.reading.segments import to_segments
from sclip_lightning.data.reading.transforms import check_patch, image_pipeline, prepare

__all__ = ["PreparedImage", "prepared_image"]


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image that can be segmented.

    Attributes:
        source: What it is called in messages.
        rgb: [H, W, 3] uint8 RGB, as :func:`~sclip_lightning.data.reading.images.to_rgb` reads it.
        pixels: [3, h, w] float32, resized and normalised as CLIP expects.
        regions: [H, W] int64, its segment map; None without one.
    """

    source: str
    rgb: npt.NDArray[np.uint8]
    pixels: Tensor
    regions: Tensor | None


def prepared_image(
    image: ImageInput,
    regions: RegionsInput | None,
    short_side: int,
    long_side: int,
    patch_size: tuple[int, int],
) -> PreparedImage:
    """Read an image and prepare it.

    Args:
        image: Any that :func:`~sclip_lightning.data.reading.images.to_rgb` takes.
        regions: Its segment map; None where no part reads one.
        short_side: Pixels that its short side is resized to; 0 keeps its size.
        long_side: Most pixels that its long side may have then.
        patch_size: Height and width of a patch of the network in pixels.

    Raises:
        DataError: It cannot be read, less than a patch is left of it, or its segment map cannot be read or is of
            another size.
    """
    rgb = to_rgb(image)
    source = str(image) if isinstance(image, str | Path) else "The image"
    size = rgb.shape[0], rgb.shape[1]
    pixels = prepare(image_pipeline(short_side, long_side), rgb, source, resizes=short_side != 0)
    check_patch(pixels, patch_size, source, size)
    given = expand(regions) if isinstance(regions, str) else regions
    return PreparedImage(source, rgb, pixels, None if given is None else from_numpy(to_segments(given, size)))
