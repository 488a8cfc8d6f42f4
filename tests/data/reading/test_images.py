import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning.data.reading.images import check_images, find_images, to_rgb
from sclip_lightning.errors import DataError


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8)


def names(*paths, **options):
    return [file.name for file in find_images(list(paths), **options)]


# Reading


def test_every_kind_of_input_gives_the_same_pixels(rgb, tmp_path):
    Image.fromarray(rgb).save(tmp_path / "image.png")
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    for image in (tmp_path / "image.png", str(tmp_path / "image.png"), Image.fromarray(rgb), rgb, tensor):
        np.testing.assert_array_equal(to_rgb(image), rgb)


def test_exif_orientation_is_respected(rgb, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(rgb).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(to_rgb(tmp_path / "turned.png"), np.rot90(rgb, -1))


def test_transparent_parts_are_white(rgb):
    image = Image.fromarray(rgb).convert("RGBA")
    image.putalpha(Image.fromarray(np.array([[0] * 4 + [255] * 4] * 6, np.uint8)))
    read = to_rgb(image)
    assert (read[:, :4] == 255).all()
    np.testing.assert_array_equal(read[:, 4:], rgb[:, 4:])


def test_16_bit_is_reduced_to_8(tmp_path):
    values = np.array([[0, 257, 65535], [128, 129, 32768]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    expected = np.array([[0, 1, 255], [0, 1, 128]], np.uint8)
    read = to_rgb(tmp_path / "deep.png")
    assert read.shape == (2, 3, 3)
    for channel in range(3):
        np.testing.assert_array_equal(read[..., channel], expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(rgb, mode):
    read = to_rgb(Image.fromarray(rgb).convert(mode))
    assert (read.shape, read.dtype) == ((6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "hint"),
    [
        (np.zeros((6, 8, 3), np.float32), "Scale it to 0..255"),
        (np.zeros((3, 6, 8), np.uint8), "other end"),
        (np.zeros((6, 8), np.uint8), "Repeat a grey image"),
        (np.zeros((1, 6, 8, 3), np.uint8), "one image at a time"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
        (torch.zeros(3, 6, 8), "Scale it to 0..255"),
        (torch.zeros(6, 8, 3, dtype=torch.uint8), "other end"),
        (Image.new("F", (4, 4)), "floating-point"),
        (42, "cannot be of type int"),
    ],
)
def test_what_cannot_be_an_image_is_refused(image, hint):
    with pytest.raises(DataError, match=hint):
        to_rgb(image)


def test_unreadable_files_are_named(rgb, tmp_path):
    Image.fromarray(np.tile(rgb, (20, 20, 1))).save(tmp_path / "whole.jpg")
    (tmp_path / "short.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-300])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    for name in ("short.jpg", "text.png", "empty.png"):
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            to_rgb(tmp_path / name)
    with pytest.raises(DataError, match="There is no image"):
        to_rgb(tmp_path / "absent.png")
    with pytest.raises(DataError, match=r"empty.png cannot be read .* 1 more file has"):
        check_images(find_images([tmp_path]))


def test_an_image_too_large_to_be_safe_is_refused(rgb, tmp_path, monkeypatch):
    Image.fromarray(rgb).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="bomb"):
        to_rgb(tmp_path / "bomb.png")


# Finding


@pytest.fixture
def photos(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "below/c.jpg", "below/a.png", ".git/d.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    return tmp_path / "photos"


def test_folders_are_listed_in_order(photos):
    assert names(photos) == ["a", "b"]
    assert names(photos, recursive=True) == ["a", "b", "below/a", "below/c"]


def test_each_image_comes_once_under_a_name_of_its_own(photos):
    assert names(photos / "b.jpg", photos, photos) == ["b", "a"]
    assert names(photos, photos / "below") == ["a", "b", "a-2", "c"]
    (photos / "A.jpg").touch()
    assert names(photos) == ["A", "a-2", "b"]


def test_a_file_named_by_itself_may_end_in_anything(photos):
    assert names(photos / "notes.txt") == ["notes"]


def test_results_of_earlier_runs_are_passed_over(photos):
    (photos / "predictions/labels").mkdir(parents=True)
    (photos / "predictions/shares.csv").touch()
    (photos / "predictions/labels/a.png").touch()
    assert names(photos, recursive=True) == ["a", "b", "below/a", "below/c"]


def test_nothing_found_is_an_error(photos):
    with pytest.raises(DataError, match="no image or folder"):
        find_images([photos, photos / "absent"])
    (photos / "deep/deeper").mkdir(parents=True)
    with pytest.raises(DataError, match=r"\.jpg.*--recursive"):
        find_images([photos / "deep"])
