import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sclip_lightning.data.reading.masks import LabelMap, image_size, mask_size, read_image, read_mask
from sclip_lightning.errors import DataError
from tests.fake_data import write_palette_mask

LABELS = np.arange(35 * 7, dtype=np.uint8).reshape(35, 7)


def test_palette_indices_are_read_as_stored(tmp_path):
    path = tmp_path / "mask.png"
    write_palette_mask(path, LABELS)
    assert Image.open(path).mode == "P"
    assert not np.array_equal(np.array(Image.open(path).convert("L")), LABELS)
    assert read_mask(path).dtype == np.uint8
    assert np.array_equal(read_mask(path), LABELS)
    assert mask_size(path) == (35, 7)


def test_16_bit_masks_keep_large_values(tmp_path):
    path = tmp_path / "mask.png"
    values = (LABELS.astype(np.uint16) * 200) + 300
    Image.fromarray(values).save(path)
    assert read_mask(path).dtype == np.int32
    assert np.array_equal(read_mask(path), values)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1"])
def test_masks_of_other_modes_are_refused(tmp_path, mode):
    path = tmp_path / "mask.png"
    Image.new(mode, (4, 3)).save(path)
    for read in (read_mask, mask_size):
        with pytest.raises(DataError, match=rf"mask\.png is stored in mode {mode}, expected"):
            read(path)


@pytest.mark.parametrize("variable", ["LabelMap", "S"])
def test_matlab_masks(tmp_path, variable):
    path = tmp_path / "mask.mat"
    savemat(path, {variable: LABELS.astype(np.uint16) + 400, "names": "other things"}, do_compression=True)
    assert mask_size(path) == (35, 7)
    assert read_mask(path).dtype == np.int32
    assert np.array_equal(read_mask(path), LABELS.astype(np.int32) + 400)


def test_bad_matlab_masks(tmp_path):
    path = tmp_path / "mask.mat"
    savemat(path, {"other": LABELS})
    for read in (read_mask, mask_size):
        with pytest.raises(DataError, match=r"mask\.mat holds no label map: expected .* LabelMap or S, found o"):
            read(path)
    for labels in (np.array([[-1, 2]], dtype=np.int16), np.full((1, 2), 70000), np.zeros((2, 2, 3), dtype=np.uint8)):
        savemat(path, {"S": labels})
        with pytest.raises(DataError, match=r"mask\.mat holds an array of shape .*expected \[H, W\] integers"):
            read_mask(path)
    noise = np.random.default_rng(0).integers(256, size=(64, 64), dtype=np.uint8)
    savemat(path, {"S": noise}, do_compression=True)
    content = path.read_bytes()
    for kept in (0, 10, 150, len(content) // 2):
        path.write_bytes(content[:kept])
        with pytest.raises(DataError, match=r"mask\.mat (cannot be read|holds no label map)"):
            read_mask(path)
    with pytest.raises(DataError, match=r"gone\.mat cannot be read"):
        read_mask(tmp_path / "gone.mat")


def test_grey_images_become_rgb(tmp_path):
    path = tmp_path / "grey.jpg"
    Image.new("L", (4, 3), 90).save(path)
    assert read_image(path).shape == (3, 4, 3)
    assert (read_image(path) == 90).all()


def test_exif_orientation_is_not_applied(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(path, exif=exif)
    assert read_image(path).shape[:2] == image_size(path) == (4, 8)


@pytest.mark.parametrize(("suffix", "read"), [(".jpg", read_image), (".png", read_mask)])
def test_truncated_files(tmp_path, suffix, read):
    path = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(256, size=(64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    for kept in (0, 10, len(content) // 2, len(content) - 400):
        path.write_bytes(content[:kept])
        with pytest.raises(DataError, match=rf"cut\{suffix} cannot be read"):
            read(path)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg cannot be read"):
        read_image(tmp_path / "gone.jpg")


def test_label_map(tmp_path):
    label_map = LabelMap({0: 255, 300: 1, 7: 0, 255: 255})
    mapped = label_map(np.array([[0, 300, 7, 255]], dtype=np.int32), tmp_path)
    assert mapped.dtype == np.uint8
    assert mapped.tolist() == [[255, 1, 0, 255]]


def test_label_outside_the_table_names_file_values_and_what_was_expected(tmp_path):
    values = np.array([[0, 21, 22, 22], [37, 20, 255, 1]], dtype=np.uint8)
    with pytest.raises(
        DataError, match=r"m\.png stores labels .*: 21\.\.22, 37 \(in 4 pixels\), expected 0\.\.20, 255"
    ):
        LabelMap.identity(21)(values, tmp_path / "m.png")
