import numpy as np
import pytest
from PIL import Image

from sclip_lightning.data import VOC21
from sclip_lightning.data.reading.inspection import inspect_samples
from tests.fake_data import write_palette_mask, write_voc


def inspected(base, num_workers=0):
    listing = VOC21(root=str(base)).listing()
    return inspect_samples(listing.samples(), listing.label_map, num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_labels_are_counted(tmp_path, num_workers):
    base = write_voc(tmp_path, 11)
    masks = [np.array(Image.open(path)) for path in (base / "SegmentationClass").iterdir()]
    result = inspected(base, num_workers)
    assert result.problems == []
    assert result.pixels.sum() == 11 * 48 * 64
    for label in range(256):
        assert result.pixels[label] == sum((mask == label).sum() for mask in masks)
        assert result.images[label] == sum((mask == label).any() for mask in masks)


def test_every_problem_is_found(tmp_path):
    base = write_voc(tmp_path, 5)
    images, masks = base / "JPEGImages", base / "SegmentationClass"
    for name in ("2007_000000", "2007_000001"):
        path = images / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:-300])
    write_palette_mask(masks / "2007_000002.png", np.full((48, 63), 99, dtype=np.uint8))
    Image.new("RGB", (48, 64)).save(masks / "2007_000003.png")
    found = inspected(base).problems
    assert len(found) == 5
    for problem, words in zip(
        found,
        ["000000.jpg cannot be read", "000001.jpg cannot be read", "000002.png stores labels outside the table: 99",
         "000002.png has 48 x 63 pixels", "000003.png is stored in mode RGB"],
        strict=True,
    ):  # fmt: skip
        assert words in problem
