"""Pictures as the page holds them: a thumbnail, and label maps of the same size that its script colours.

Label maps travel as class indices, not as pictures: so the page can name the class under the pointer, show one class
alone, and compare maps, and no browser's colour management comes between.
"""

import base64
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["PackedImage", "pack"]

Array = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]

#: Of thumbnails: small, and without artefacts that could be taken for something in the image.
WEBP_QUALITY = 70


@dataclass(frozen=True)
class PackedImage:
    """An image with its label maps, small.

    Attributes:
        height: Of the thumbnail, in pixels.
        width: The same.
        thumbnail: The image as WebP.
        maps: Base64 of zlib of the label maps one after the other, the ground truth first, then one for each run that
            ``has`` names: one byte a pixel up to 255 classes, two (little-endian) above; the highest value is what is
            not scored, or no class.
        has: Whether each run has a map.
    """

    height: int
    width: int
    thumbnail: bytes
    maps: str
    has: list[bool]

    @property
    def data_url(self) -> str:
        """The thumbnail for the page itself."""
        return f"data:image/webp;base64,{base64.b64encode(self.thumbnail).decode()}"


def pack(image: Array, truth: Labels, predictions: Sequence[Labels | None], classes: int, side: int) -> PackedImage:
    """Make an image and its label maps small.

    Args:
        image: [H, W, 3] uint8 RGB.
        truth: [H, W] ground-truth labels; whatever is no class is not scored.
        predictions: [H, W] labels of each run; None where it has none.
        classes: Their number C.
        side: Most pixels that the longer side gets.
    """
    height, width = truth.shape
    scale = min(side / max(height, width), 1)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    buffer = io.BytesIO()
    Image.fromarray(image).resize(size, Image.Resampling.BOX, reducing_gap=2).save(
        buffer, "WEBP", quality=WEBP_QUALITY, method=2
    )
    rows = (2 * np.arange(size[1]) + 1) * height // (2 * size[1])
    columns = (2 * np.arange(size[0]) + 1) * width // (2 * size[0])
    kind = np.dtype(np.uint8 if classes <= 255 else "<u2")
    none = np.iinfo(kind).max
    maps = []
    for labels in (truth, *predictions):
        if labels is not None:
            small = labels[rows[:, None], columns].astype(np.int64)
            maps.append(np.where((small < 0) | (small >= classes), none, small).astype(kind).tobytes())
    packed = base64.b64encode(zlib.compress(b"".join(maps), 6)).decode()
    return PackedImage(size[1], size[0], buffer.getvalue(), packed, [one is not None for one in predictions])
