"""From a decoded image to the network's input: the resize rule of mmcv, and CLIP's normalisation."""

import os
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclip_lightning.data.reading.benchmark import LONG_SIDE
from sclip_lightning.data.reading.pixels import reason_of
from sclip_lightning.errors import DataError

# albumentations 2.0.8 asks the package registry for news at every import, in worker processes too.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

__all__ = ["LONG_SIDE", "MEAN", "STD", "ImRescale", "check_patch", "image_pipeline", "prepare", "rescaled_size"]

#: CLIP's RGB mean and standard deviation on the 0..255 scale, rounded as in the published configurations.
MEAN = (122.771, 116.746, 104.094)
STD = (68.501, 66.632, 70.323)
#: Pixels of an image that are prepared at a time, where they can be.
STRIP = 2**24


def rescaled_size(height: int, width: int, short_side: int, long_side: int = LONG_SIDE) -> tuple[int, int]:
    """The size of an image after mmcv's keep-ratio resize.

    The image is made as large as fits into both bounds; each side is rounded half up on its own.

    Args:
        height: Image height in pixels.
        width: Image width in pixels.
        short_side: Upper bound on the short side in pixels.
        long_side: Upper bound on the long side in pixels.

    Returns:
        The new (height, width) in pixels.
    """
    factor = min(long_side / max(height, width), short_side / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


class ImRescale(A.ImageOnlyTransform):
    """Resize an image as mmcv does: :func:`rescaled_size`, bilinear without antialiasing, on uint8.

    A mask in the same call keeps its size: ground truth is scored at native resolution.

    Args:
        short_side: Upper bound on the short side in pixels.
        long_side: Upper bound on the long side in pixels.
    """

    def __init__(self, short_side: int, long_side: int = LONG_SIDE) -> None:
        super().__init__(p=1.0)
        self.short_side = short_side
        self.long_side = long_side

    def apply(self, img: npt.NDArray[np.uint8], **params: Any) -> npt.NDArray[Any]:
        """Resize one [H, W, 3] uint8 image."""
        height, width = rescaled_size(img.shape[0], img.shape[1], self.short_side, self.long_side)
        if not height * width:
            msg = f"with a long side of at most {self.long_side}, {height} x {width} pixels are left of it"
            raise ValueError(msg)
        return cv2.resize(img, (width, height), interpolation=cv2.INTER_LINEAR)


def image_pipeline(short_side: int, long_side: int = LONG_SIDE) -> A.Compose:
    """The pipeline from [H, W, 3] uint8 RGB to a normalised [3, h, w] float32 tensor.

    Args:
        short_side: Side length in pixels that the short side is resized to; 0 keeps the image's size.
        long_side: Most pixels that the long side may have then.
    """
    resize = [ImRescale(short_side, long_side)] if short_side else []
    return A.Compose([*resize, A.Normalize(mean=MEAN, std=STD, max_pixel_value=1.0), A.ToTensorV2()])


def prepare(
    pipeline: Callable[..., dict[str, Any]], rgb: npt.NDArray[np.uint8], source: str, resizes: bool = True
) -> Tensor:
    """The network's input, [3, h, w] float32; whatever goes wrong is a DataError of this image.

    Args:
        pipeline: See :func:`image_pipeline`.
        rgb: [H, W, 3].
        source: What to call the image in the error.
        resizes: Whether the pipeline changes the size; where it does not, a large image goes through it in strips,
            since each step on the way makes a copy in 12 bytes a pixel.
    """
    height, width, _ = rgb.shape
    try:
        if resizes or height * width <= STRIP:
            image: Tensor = pipeline(image=rgb)["image"]
        else:
            image = torch.empty(3, height, width)
            step = STRIP // width + 1
            for top in range(0, height, step):
                image[:, top : top + step] = pipeline(image=rgb[top : top + step])["image"]
    except Exception as error:  # OpenCV's errors derive from nothing else
        msg = (
            f"{source} has {rgb.shape[0]} x {rgb.shape[1]} pixels (height x width) and cannot be resized for the "
            f"network: {reason_of(error)}. Crop it to a less extreme shape, or leave it out."
        )
        raise DataError(msg) from error
    return image


def check_patch(image: Tensor, patch_size: tuple[int, int], source: str, size: tuple[int, int]) -> None:
    """Refuse an input of the network that is smaller than a patch.

    Args:
        image: [3, h, w].
        patch_size: Height and width of a patch in pixels.
        source: What to call the image in the error.
        size: (H, W) of the image before it was resized.

    Raises:
        DataError: It is.
    """
    height, width = image.shape[1:]
    if height < patch_size[0] or width < patch_size[1]:
        msg = (
            f"{source} has {size[0]} x {size[1]} pixels (height x width) and comes to {height} x {width} for the "
            f"network, less than a patch of {patch_size[0]} x {patch_size[1]}. Crop it to a less extreme shape, set a "
            "larger short side, or leave it out."
        )
        raise DataError(msg)
