"""Whatever one image makes fail is an error of that image, in one sentence, and may be skipped."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from sclip_lightning.data import VOC21
from sclip_lightning.data.reading.images import to_rgb
from sclip_lightning.data.reading.masks import image_size, mask_size, read_image, read_mask
from sclip_lightning.data.reading.transforms import image_pipeline, prepare
from sclip_lightning.errors import DataError
from tests.fake_data import write_voc
from tests.stored_images import png

RGB = np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8)


def refuses(read, path, match):
    with pytest.raises(DataError, match=match) as error:
        read(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_header_that_promises_too_much(tmp_path):
    path = tmp_path / "bomb.png"
    content = bytearray(png(np.zeros((4, 4)), 8))
    content[16:24] = struct.pack(">II", 50000, 50000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    for read in (read_image, read_mask, image_size, mask_size, to_rgb):
        refuses(read, path, "decompression bomb")


def test_malformed_exif(tmp_path):
    path = tmp_path / "odd.jpg"
    turned, negative = (0x0112, 3, 1, 6), (0x0100, 9, 1, 2**32 - 1)  # a width of -1, which cannot be written again
    entries = b"".join(struct.pack("<HHII", *entry) for entry in (turned, negative))
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 2) + entries + bytes(4)
    Image.fromarray(RGB).save(path, exif=exif)
    assert read_image(path).shape == (6, 8, 3)
    reason = r"(argument out of range|'L' format requires 0 <= number)"  # the words of Python 3.10 and of later ones
    refuses(to_rgb, path, rf"odd.jpg cannot be read as an image: {reason}")


ERRORS = [KeyError("tag"), struct.error("short"), MemoryError(), EOFError(), IndexError("a\nb")]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("read", [read_image, to_rgb, read_mask])
def test_any_error_of_a_decoder(tmp_path, monkeypatch, read, error):
    path = tmp_path / "image.png"
    Image.fromarray(RGB[..., 0]).save(path)

    def fails(self):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fails)
    refuses(read, path, "cannot be read as an image: .+")


def test_an_image_of_which_nothing_is_left():
    with pytest.raises(DataError, match=r"thin\.png has 1 x 5000 pixels .* 0 x 2048 pixels are left"):
        prepare(image_pipeline(336), np.zeros((1, 5000, 3), np.uint8), "thin.png")


def test_any_error_of_resizing(monkeypatch):
    def fails(*_, **__):
        raise cv2.error("first line\nsecond line")

    monkeypatch.setattr("cv2.resize", fails)
    with pytest.raises(DataError, match=r"a\.png has 6 x 8 pixels .*first line second line\. Crop") as error:
        prepare(image_pipeline(4), RGB, "a.png")
    assert "\n" not in str(error.value)


def test_all_of_them_are_skipped_where_that_was_asked_for(tmp_path):
    base = write_voc(tmp_path, 3)
    Image.new("RGB", (5000, 1)).save(base / "JPEGImages/2007_000001.jpg")
    Image.new("P", (5000, 1)).save(base / "SegmentationClass/2007_000001.png")
    options = {"root": str(base), "num_workers": 0, "short_side": 336}
    data = VOC21(on_error="skip", **options)
    data.setup()
    samples = [data.dataset[index] for index in range(3)]
    assert [sample["error"] is None for sample in samples] == [True, False, True]
    assert "2007_000001.jpg has 1 x 5000 pixels" in samples[1]["error"]
    data = VOC21(on_error="stop", **options)
    data.setup()
    with pytest.raises(DataError, match=r"2007_000001\.jpg has 1 x 5000"):
        data.dataset[1]
