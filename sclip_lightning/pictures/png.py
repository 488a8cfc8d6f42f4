"""Pictures as PNG files, quickly: zlib's first level takes a third of the time of its usual one, for 7 % more bytes."""

import io
from pathlib import Path

from PIL import Image

from sclip_lightning.files import replacing
from sclip_lightning.pictures.drawing import Array

__all__ = ["png_bytes", "write_png"]

#: zlib's, from 1, the fastest, to 9.
LEVEL = 1


def png_bytes(picture: Array) -> bytes:
    """A picture [H, W, 3] uint8 RGB as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=LEVEL)
    return buffer.getvalue()


def write_png(path: Path, picture: Array) -> bytes:
    """Write a picture into a file, whole or not at all, and return what is in it."""
    content = png_bytes(picture)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return content
