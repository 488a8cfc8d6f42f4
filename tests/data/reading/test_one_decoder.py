"""A benchmark's images and one's own are decoded alike, but that only the latter are turned."""

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.data.reading.images import to_rgb
from sclip_lightning.data.reading.masks import read_image
from tests.stored_images import grey_tiff, png

RGB = np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(2**16, size=(6, 8), dtype=np.uint16)


def write(path, kind):
    image = Image.fromarray(RGB)
    if kind == "transparent":
        image.putalpha(Image.fromarray(RGB[..., 0]))
    elif kind == "transparent palette":
        image = image.quantize(16)
        image.info["transparency"] = 3
    elif kind == "16 bit grey":
        image = Image.fromarray(DEEP)
    elif kind == "16 bit colour":
        path.write_bytes(png(np.stack([DEEP] * 3, axis=2), 16, colour=2))
        return
    elif kind == "16 bit TIFF":
        path.write_bytes(grey_tiff(DEEP, 16))
        return
    elif kind != "RGB":
        image = image.convert(kind)
    image.save(path, format="TIFF" if kind == "CMYK" else "PNG")


KINDS = ["RGB", "L", "1", "P", "LA", "CMYK", "transparent", "transparent palette", "16 bit grey", "16 bit colour",
         "16 bit TIFF"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_pixels(tmp_path, kind):
    path = tmp_path / "image.png"
    write(path, kind)
    np.testing.assert_array_equal(read_image(path), to_rgb(path))


def test_what_they_are(tmp_path):
    path = tmp_path / "image.png"
    write(path, "transparent")
    opacity = RGB[..., :1] / 255
    expected = np.rint(RGB * opacity + 255 * (1 - opacity))
    assert np.abs(read_image(path) - expected).max() <= 1
    write(path, "16 bit grey")
    assert np.array_equal(read_image(path)[..., 1], np.rint(DEEP / 257).astype(np.uint8))


def test_only_own_images_are_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(to_rgb(tmp_path / "turned.png"), np.rot90(read_image(tmp_path / "turned.png"), -1))
