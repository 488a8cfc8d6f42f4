import numpy as np
import pytest
from PIL import Image

from sclip_lightning.data import VOC21, COCOStuff
from sclip_lightning.errors import DataError
from tests.fake_data import write_coco_stuff, write_palette_mask, write_voc


def files_of(module, root):
    data = module(root=str(root))
    data.setup()
    return data.dataset.files


def test_voc_is_found_from_three_folders(tmp_path):
    base = write_voc(tmp_path, 3)
    expected = files_of(VOC21, base)
    assert [files.id for files in expected] == ["2007_000000", "2007_000001", "2007_000002"]
    assert files_of(VOC21, base.parent) == files_of(VOC21, tmp_path) == expected


def test_voc_follows_the_order_of_the_list(tmp_path):
    base = write_voc(tmp_path, 3)
    (base / "ImageSets/Segmentation/val.txt").write_text("2007_000002\n2007_000000\n\n")
    assert [files.id for files in files_of(VOC21, base)] == ["2007_000002", "2007_000000"]


@pytest.mark.parametrize("images", ["images/val2017", "val2017"])
@pytest.mark.parametrize("masks", ["annotations/val2017", "stuffthingmaps/val2017"])
@pytest.mark.parametrize("prefix", ["", "coco"])
def test_coco_stuff_layouts(tmp_path, images, masks, prefix):
    made = write_coco_stuff(tmp_path / "made", 2)
    root = tmp_path / "root"
    for source, target in (("images/val2017", images), ("annotations/val2017", masks)):
        (root / prefix / target).parent.mkdir(parents=True, exist_ok=True)
        (made / source).rename(root / prefix / target)
    assert [files.id for files in files_of(COCOStuff, root)] == ["000000000000", "000000000001"]


def test_published_maps_are_taken_where_converted_ones_lie_beside(tmp_path):
    write_coco_stuff(tmp_path, 2)
    write_coco_stuff(tmp_path, 1, converted=True)
    assert [files.mask.name for files in files_of(COCOStuff, tmp_path)] == ["000000000000.png", "000000000001.png"]


def test_variables_in_the_root_are_filled_in(tmp_path, monkeypatch):
    write_voc(tmp_path, 1)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.setenv("SETS", tmp_path.name)
    assert len(files_of(VOC21, "~/$SETS/VOCdevkit")) == 1


@pytest.mark.parametrize("module", [VOC21, COCOStuff])
def test_missing_root_lists_what_was_looked_for(tmp_path, module):
    with pytest.raises(DataError, match=r"gone, which is no folder\. Looked in .*--data\.root") as error:
        files_of(module, tmp_path / "gone")
    assert ("SegmentationClass" if module is VOC21 else "stuffthingmaps/val2017") in str(error.value)


def test_root_of_another_data_set(tmp_path):
    write_coco_stuff(tmp_path, 1)
    with pytest.raises(DataError, match="which does not hold it"):
        files_of(VOC21, tmp_path)


def test_empty_split(tmp_path):
    base = write_voc(tmp_path / "voc", 0)
    with pytest.raises(DataError, match=r"split is empty.*val\.txt"):
        files_of(VOC21, base)
    with pytest.raises(DataError, match="split is empty"):
        files_of(COCOStuff, write_coco_stuff(tmp_path / "coco", 0))


def test_image_without_mask_and_mask_without_image(tmp_path):
    base = write_voc(tmp_path / "voc", 5)
    for i in range(4):
        (base / f"SegmentationClass/2007_00000{i}.png").unlink()
    with pytest.raises(
        DataError, match=r"4 of the 5 samples have no mask: 2007_000000, 2007_000001, 2007_000002, \.\.\."
    ):
        files_of(VOC21, base)

    root = write_coco_stuff(tmp_path / "coco", 3)
    removed = root / "images/val2017/000000000001.jpg"
    removed.rename(removed.with_name("000000000009.jpg"))
    with pytest.raises(DataError, match=r"1 of the 4 samples have no image: 000000000001\. Looked in .*annotations"):
        files_of(COCOStuff, root)
    removed.with_name("000000000009.jpg").rename(removed)
    (root / "annotations/val2017/000000000002.png").unlink()
    with pytest.raises(DataError, match=r"1 of the 3 samples have no mask: 000000000002\."):
        files_of(COCOStuff, root)


def test_headers_are_checked_before_anything_is_decoded(tmp_path):
    base = write_voc(tmp_path, 4, size=(48, 64))
    masks = base / "SegmentationClass"
    write_palette_mask(masks / "2007_000001.png", np.zeros((48, 64), dtype=np.uint8))
    Image.new("RGB", (64, 48)).save(masks / "2007_000002.png")
    with pytest.raises(DataError, match=r"000001\.png has 48 x 64 .*000001\.jpg has 64 x 48.* 1 more samples"):
        files_of(VOC21, base)
    write_palette_mask(masks / "2007_000001.png", np.zeros((64, 48), dtype=np.uint8))
    with pytest.raises(DataError, match=r"000002\.png is stored in mode RGB"):
        files_of(VOC21, base)
