"""Reading one segment map, whatever holds it."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning.data.reading.segments import read_segments, segments_size, to_segments
from sclip_lightning.errors import DataError
from tests.stored_images import png

IDS = np.array([[0, 1, 2], [255, 7, 7]])


def save(path, values):
    np.savez_compressed(path, instance_mask=values)
    return path


def check(path, expected, **options):
    found = read_segments(path, **options)
    assert found.dtype == np.int64
    assert found.flags.writeable
    np.testing.assert_array_equal(found, expected)
    assert segments_size(path, **options) == found.shape


def refuses(path, match, **options):
    for read in (read_segments, segments_size):
        with pytest.raises(DataError, match=match) as error:
            read(path, **options)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["u1", "<i2", ">u2", "<i4", ">u4", "i8", "u8", "<f2", "f8"])
def test_arrays_of_any_type(tmp_path, kind):
    check(save(tmp_path / "a.npz", IDS.astype(kind)), IDS)
    check(save(tmp_path / "b.npz", IDS.astype(bool)), IDS > 0)


def test_numbers_that_16_bits_cannot_hold(tmp_path):
    large = np.array([[-1, 65536, 70001, 131072], [2**31 + 5, 2**40, -(2**40), 2**63 - 1]])
    check(save(tmp_path / "a.npz", large), large)
    check(save(tmp_path / "b.npz", large.clip(0).astype(np.uint64)), large.clip(0))


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 2.0**60])
def test_numbers_that_are_not_whole(tmp_path, value):
    path = save(tmp_path / "a.npz", np.array([[1.0, value]]))
    with pytest.raises(DataError, match=r"a\.npz is no segment map: 1 of its values are no whole numbers"):
        read_segments(path)
    with pytest.raises(DataError, match="no whole numbers of int64, such as 9223372036854775808"):
        read_segments(save(tmp_path / "b.npz", np.array([[2**63]], np.uint64)))


@pytest.mark.parametrize("shape", [(1, 2, 3), (6,), (), (0, 3), (3, 0)])
def test_shapes_that_are_no_map(tmp_path, shape):
    refuses(save(tmp_path / "a.npz", np.zeros(shape, int)), "is no segment map: its array has the shape")


def test_a_map_larger_than_an_image_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    check(save(tmp_path / "a.npz", np.zeros((4, 5), int)), np.zeros((4, 5)))
    refuses(save(tmp_path / "b.npz", np.zeros((3, 7), int)), r"3 x 7 pixels, more than the 20 that an image may have")


@pytest.mark.parametrize(("bits", "colour"), [(2, 0), (4, 0), (8, 0), (16, 0), (4, 3), (8, 3)])
def test_png_files_of_indices(tmp_path, bits, colour):
    ids = IDS * (200 if bits == 16 else 1) % 2**bits
    (tmp_path / "a.png").write_bytes(png(ids, bits, colour))
    check(tmp_path / "a.png", ids)


def test_png_files_of_panoptic_colours(tmp_path):
    ids = np.array([[0, 255, 256], [65535, 65536, 2**24 - 1]])
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(colours).save(path)
    check(path, ids, panoptic=True)
    refuses(path, "stored in mode RGB, expected a number per pixel.*say so with panoptic_regions")
    path.write_bytes(png(colours.astype(int) * 257, 16, 2))  # Pillow would drop the lower bits
    refuses(path, r"PNG file in mode RGB, .*8 bit", panoptic=True)
    Image.fromarray(IDS.astype(np.uint8)).save(path)
    refuses(path, r"mode L, but colours .*panoptic_regions.*Leave that out", panoptic=True)
    Image.fromarray(colours).save(path, "JPEG")
    refuses(path, "JPEG file in mode RGB", panoptic=True)


def test_damaged_files(tmp_path):
    content = png(np.zeros((40, 50)), 8)
    (tmp_path / "a.png").write_bytes(content[:40])
    refuses(tmp_path / "a.png", "cannot be read as an image")
    bomb = bytearray(png(np.zeros((4, 4)), 8))
    bomb[16:24] = struct.pack(">II", 50000, 50000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    (tmp_path / "b.png").write_bytes(bomb)
    refuses(tmp_path / "b.png", "decompression bomb")
    refuses(tmp_path / "b.png", "decompression bomb", panoptic=True)
    refuses(tmp_path / "absent.png", "cannot be read as an image")
    refuses(tmp_path / "absent.npz", "cannot be read as an npz file")


@pytest.mark.parametrize(
    "given",
    [
        IDS.astype(np.uint16),
        torch.from_numpy(IDS),
        torch.from_numpy(IDS).int(),
        torch.from_numpy(IDS).bfloat16(),
        IDS.astype(float),
    ],
)
def test_given_in_python(given, tmp_path):
    found = to_segments(given, (2, 3))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, IDS if "bfloat16" not in str(given.dtype) else given.float())
    found[:] = 5  # its own memory
    assert given[0, 0] == 0
    path = save(tmp_path / "a.npz", IDS)
    for one in (path, str(path)):
        np.testing.assert_array_equal(to_segments(one, (2, 3)), IDS)
    for one in (path, given):
        with pytest.raises(DataError, match=r"has 2 x 3 pixels \(height x width\), its image 3 x 2\. .*nearest pixels"):
            to_segments(one, (3, 2))


def test_given_as_something_else():
    with pytest.raises(DataError, match="cannot be of type list"):
        to_segments([[1, 2]], (1, 2))
    with pytest.raises(DataError, match=r"shape \[1, 2, 3\]"):
        to_segments(IDS[None], (2, 3))
    with pytest.raises(DataError, match="of type <U1"):
        to_segments(np.array([["a"]]), (1, 1))
