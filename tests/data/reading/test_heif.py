"""HEIC files of the user: read where pillow-heif is installed, named with a remedy where it is not."""

import sys

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.data.reading.heif import reads_heif
from sclip_lightning.data.reading.images import check_images, find_images, to_rgb, unread_images
from sclip_lightning.errors import DataError


@pytest.fixture
def absent(monkeypatch):
    """As if pillow-heif were not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    reads_heif.cache_clear()
    yield
    reads_heif.cache_clear()


@pytest.fixture
def heif():
    """pillow-heif, which the project's own environment does not have."""
    module = pytest.importorskip("pillow_heif", reason="needs the extra heic (pip install pillow-heif)")
    reads_heif.cache_clear()
    return module


def test_without_pillow_heif_the_remedy_is_named(absent, tmp_path):
    file = tmp_path / "IMG_1.HEIC"
    file.write_bytes(b"whatever")
    assert unread_images([tmp_path]) == [file]
    with pytest.raises(DataError, match=r"1 HEIC file lies there\. Install pillow-heif"):
        find_images([tmp_path])
    for read in (lambda: check_images(find_images([file])), lambda: to_rgb(file)):
        with pytest.raises(DataError, match="pip install pillow-heif"):
            read()
    (tmp_path / "one.jpg").write_bytes(b"whatever")
    with pytest.raises(DataError, match="Convert it to JPEG or PNG"):
        to_rgb(tmp_path / "one.jpg")


def test_with_it_the_files_are_images_like_others(heif, tmp_path):
    # Smooth, since the format is lossy: red grows to the right, green downwards.
    rows, columns = np.mgrid[:48, :64]
    rgb = np.stack([4 * columns, 5 * rows, np.full_like(rows, 90)], axis=-1).astype(np.uint8)
    heif.from_pillow(Image.fromarray(rgb)).save(tmp_path / "plain.heic", quality=100)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    heif.from_pillow(Image.fromarray(rgb)).save(tmp_path / "turned.HEIC", quality=100, exif=exif.tobytes())
    (tmp_path / "misnamed.jpg").write_bytes((tmp_path / "plain.heic").read_bytes())

    files = find_images([tmp_path])
    assert [file.name for file in files] == ["misnamed", "plain", "turned"]
    assert unread_images([tmp_path]) == []
    check_images(files)
    for file, expected in zip(files, (rgb, rgb, np.rot90(rgb, -1)), strict=True):
        read = to_rgb(file.path)
        assert read.shape == expected.shape
        assert np.abs(read.astype(int) - expected).max() < 16
    broken = tmp_path / "broken.heic"
    broken.write_bytes((tmp_path / "plain.heic").read_bytes()[:200])
    with pytest.raises(DataError, match="Convert it to JPEG or PNG"):
        to_rgb(broken)
