"""From the bytes of an image file to pixels: the one decoder of a benchmark's images and of one's own.

Images are decoded by Pillow: it gives the index of a palette PNG, where other decoders give its colours.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sclip_lightning.errors import DataError

__all__ = ["MOST_PIXELS", "allow_pixels", "decode_rgb", "decoding", "opened", "read_bytes", "reason_of"]

#: What can be done about a file of a published data set that cannot be read.
COPY_AGAIN = "Copy or download the file again."
#: The same about one with more pixels than are allowed.
ALLOW_MORE = "If it is what it should be, allow more with --max_pixels of sclip predict (PIL.Image.MAX_IMAGE_PIXELS)."
#: Pixels beyond which Pillow refuses an image, unless told otherwise: a small file may unpack to any number of them.
MOST_PIXELS = 178_956_970
#: Pixels beyond which an image is taken from Pillow in strips: each copy of it would take hundreds of megabytes.
LARGE = 2**26


def allow_pixels(most: int) -> None:
    """Let images in this process have so many pixels, without Pillow's warning from half of them on."""
    Image.MAX_IMAGE_PIXELS = most // 2  # it refuses what has twice as many
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def decode_rgb(image: Image.Image, source: str) -> npt.NDArray[np.uint8]:
    """The pixels of an opened image as [H, W, 3] uint8 RGB, of the first of several frames.

    Transparent parts lie on white, as on a page. 16 bit grey is reduced to 8: the brightest value, 65535, becomes 255,
    and others are rounded. (Colours of 16 bit are reduced by Pillow, which drops the lower 8.)

    Args:
        image: Of any mode but floating point.
        source: What to call it in an error message.

    Raises:
        DataError: The range of its values is not known.
    """
    if image.mode.startswith("I"):  # "I;16" and relatives; older releases of Pillow open 16 bit files as "I"
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            msg = f"{source} holds values {values.min()}..{values.max()}, expected 0..65535. Convert it to 8 bit."
            raise DataError(msg)
        grey = ((values + 128) // 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "F":
        msg = f"{source} holds floating-point values, whose range is not known. Convert it to 8 bit."
        raise DataError(msg)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if image.width * image.height <= LARGE:
        return np.array(image)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    step = LARGE // 16 // image.width + 1
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


@contextmanager
def opened(path: Path, content: bytes | None = None, advice: str = COPY_AGAIN) -> Iterator[Image.Image]:
    """Open an image file, to be decoded inside; what goes wrong becomes a DataError, as :func:`decoding` has it.

    Args:
        path: The file.
        content: Its bytes, where they have been read already.
        advice: The last sentence of the error: what can be done.
    """
    with decoding(str(path), advice), Image.open(path if content is None else BytesIO(content)) as image:
        yield image


@contextmanager
def decoding(source: str, advice: str = COPY_AGAIN) -> Iterator[None]:
    """Whatever goes wrong inside becomes a DataError of one image.

    Decoders stumble over damaged files in every way there is: besides ``OSError`` and ``SyntaxError`` they raise
    ``struct.error``, ``KeyError``, ``DecompressionBombError`` or ``MemoryError``, none of which may end more than the
    work on this one image.

    Args:
        source: The file, or what else to call the image.
        advice: The last sentence of the error: what can be done.
    """
    try:
        yield
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{source} cannot be read as an image: {reason_of(error)}. {ALLOW_MORE}") from error
    except Exception as error:
        raise DataError(f"{source} cannot be read as an image: {reason_of(error)}. {advice}") from error


def read_bytes(path: Path, advice: str = COPY_AGAIN) -> bytes:
    """The bytes of a file; raises DataError where it cannot be read."""
    with decoding(str(path), advice):
        return path.read_bytes()


def reason_of(error: Exception) -> str:
    """What an error of another library says, in one line and without a full stop; its kind where it says nothing."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
