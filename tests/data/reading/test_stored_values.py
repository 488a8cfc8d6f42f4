"""A mask's values are those that its file stores, whatever a decoder of pictures would make of them."""

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.commands.score import score_predictions
from sclip_lightning.data import VOC21
from sclip_lightning.data.reading.masks import IGNORE_INDEX, LabelMap, mask_size, read_mask
from sclip_lightning.errors import DataError
from tests.fake_data import write_voc
from tests.stored_images import grey_tiff, png

VALUES = np.arange(3 * 7).reshape(3, 7)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("kind", ["grey PNG", "palette PNG", "TIFF", "PGM"])
def test_every_depth(tmp_path, kind, bits):
    values = VALUES % 2**bits
    content = {
        "grey PNG": lambda: png(values, bits),
        "palette PNG": lambda: png(values, min(bits, 8), colour=3),
        "TIFF": lambda: grey_tiff(values, bits),
        "PGM": lambda: b"P5 7 3 %d\n" % (2**bits - 1) + values.astype(">u2" if bits > 8 else "u1").tobytes(),
    }[kind]()
    path = tmp_path / f"mask.{'tif' if kind == 'TIFF' else 'png'}"
    path.write_bytes(content)
    assert np.array_equal(read_mask(path), values)
    assert mask_size(path) == (3, 7)


def test_a_class_of_4_bit_is_not_void(tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(png([[0, 1, 2, 15]], 4))
    assert LabelMap.identity(21)(read_mask(path), path).tolist() == [[0, 1, 2, 15]]


def test_predictions_of_few_bits_are_scored(tmp_path):
    base = write_voc(tmp_path, 1, size=(8, 8))
    labels = np.arange(64).reshape(8, 8) % 16
    (base / "SegmentationClass/2007_000000.png").write_bytes(png(labels, 8, colour=3))
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions/2007_000000.png").write_bytes(png(labels, 4))
    _, records, _ = score_predictions(VOC21(root=str(base), num_workers=0), str(tmp_path / "predictions"))
    target, prediction, pixels = records.images[0].counts.confusion
    assert target.tolist() == prediction.tolist() == list(range(16))
    assert pixels.tolist() == [4] * 16


def test_values_that_no_table_holds_are_named(tmp_path):
    path = tmp_path / "mask.tif"
    label_map = LabelMap.identity(21)
    for value in (65536, 65536 + 3, 2**31 - 1):
        Image.fromarray(np.array([[1, value]], np.int32)).save(path)
        with pytest.raises(DataError, match=rf"outside the table: {value} \(in 1 pixels\)"):
            label_map(read_mask(path), path)
    Image.fromarray(np.array([[-1, -65533]], np.int32)).save(path)
    with pytest.raises(DataError, match=r"outside the table: -65533, -1 "):
        label_map(read_mask(path), path)


@pytest.mark.parametrize("read", [read_mask, mask_size])
def test_what_is_stored_unclearly_is_refused(tmp_path, read):
    path = tmp_path / "mask.png"
    path.write_bytes(grey_tiff(VALUES, 8, white_is_zero=True))
    with pytest.raises(DataError, match="WhiteIsZero"):
        read(path)
    Image.fromarray(VALUES.astype(np.uint8)).save(path, format="JPEG")
    with pytest.raises(DataError, match=r"is a JPEG file.*expected one of PNG"):
        read(path)


@pytest.mark.parametrize("count", [2, 254, 255])
def test_as_many_classes_as_there_can_be(tmp_path, count):
    stored = np.arange(count + 1, dtype=np.uint8)[None]
    labels = LabelMap.without_zero(count)(stored, tmp_path)
    assert labels.tolist() == [[IGNORE_INDEX, *range(count)]]
    assert LabelMap.identity(count)(stored[:, :count], tmp_path).tolist() == [list(range(count))]


def test_digests_tell_label_maps_apart():
    maps = [LabelMap.identity(3), LabelMap.identity(4), LabelMap.without_zero(3), LabelMap({0: 0, 1: 1, 2: 2})]
    assert len({label_map.sha256 for label_map in maps}) == 4
    assert LabelMap.identity(3).sha256 == LabelMap({255: 255, 2: 2, 1: 1, 0: 0}).sha256
