"""What the masks of each benchmark become, in every form that they go by."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from sclip_lightning.data import ADE20K, Cityscapes, COCOObject, COCOStuff, COCOStuff10k, Context59, Context60
from sclip_lightning.errors import DataError
from tests.fake_data import (
    write_ade20k,
    write_cityscapes,
    write_coco_object,
    write_coco_stuff,
    write_coco_stuff10k,
    write_context,
)


def ready(module, root):
    data = module(root=str(root), num_workers=0, short_side=0)
    data.setup()
    return data


def masks_of(module, root):
    return [sample["mask"] for sample in ready(module, root).dataset]


@pytest.mark.parametrize(
    ("module", "write_published", "write_converted", "labels"),
    [
        (COCOStuff, write_coco_stuff, lambda root, n: write_coco_stuff(root, n, converted=True), 171),
        (COCOObject, write_coco_stuff, write_coco_object, 81),
        (COCOStuff10k, write_coco_stuff10k, lambda root, n: write_coco_stuff10k(root, n, raw=False), 171),
        (Context60, lambda root, n: write_context(root, n, raw=True), write_context, 60),
        (Context59, lambda root, n: write_context(root, n, raw=True), write_context, 59),
        (Cityscapes, write_cityscapes, lambda root, n: write_cityscapes(root, n, converted=True), 19),
    ],
)
def test_published_and_converted_masks_give_the_same_targets(
    tmp_path, module, write_published, write_converted, labels
):
    published = masks_of(module, write_published(tmp_path / "published", 6))
    converted = masks_of(module, write_converted(tmp_path / "converted", 6))
    assert len(published) == 6
    for one, other in zip(published, converted, strict=True):
        assert torch.equal(one, other)
    seen = torch.cat([mask[mask != 255] for mask in published])
    assert seen.max() < labels
    assert seen.unique().numel() > 10


def test_folder_above(tmp_path):
    write_coco_stuff10k(tmp_path / "cocostuff-10k-v1.1", 1)
    write_context(tmp_path, 1)
    write_cityscapes(tmp_path, 1)
    write_ade20k(tmp_path, 1)
    for module in (COCOStuff10k, Context60, Context59, Cityscapes, ADE20K):
        assert len(ready(module, tmp_path).dataset) == 1


@pytest.mark.parametrize(
    ("module", "write", "option", "taken"),
    [
        (Cityscapes, write_cityscapes, "converted", "_labelIds.png"),
        (COCOStuff10k, write_coco_stuff10k, "raw", ".mat"),
        (Context60, write_context, "raw", ".png"),
    ],
)
def test_where_both_forms_lie_side_by_side(tmp_path, module, write, option, taken):
    for value in (True, False):
        base = write(tmp_path, 2, **{option: value})
    files = ready(module, base).dataset.files
    assert len(files) == 2
    assert all(sample.mask.name.endswith(taken) for sample in files)


def test_coco_object_counts_all_but_things_as_background(tmp_path):
    root = write_coco_stuff(tmp_path, 1, size=(16, 16))
    stored = np.full((16, 16), 255, dtype=np.uint8)
    stored.flat[:5] = [0, 12, 89, 91, 181]  # person, stop sign, toothbrush, banner, wood
    Image.fromarray(stored).save(root / "annotations/val2017/000000000000.png")
    (mask,) = masks_of(COCOObject, root)
    assert mask.flatten()[:6].tolist() == [1, 12, 80, 0, 0, 0]
    assert COCOObject().benchmark.classes[12] == "stop sign"


def test_coco_object_has_no_gaps(tmp_path):
    root = write_coco_stuff(tmp_path, 1, size=(16, 16))
    Image.fromarray(np.full((16, 16), 25, dtype=np.uint8)).save(root / "annotations/val2017/000000000000.png")
    with pytest.raises(DataError, match=r"outside the table: 25 \(in 256 pixels\)"):
        masks_of(COCOObject, root)


def test_context_of_459_categories(tmp_path):
    base = write_context(tmp_path, 1, raw=True, size=(2, 3))
    savemat(base / "trainval/2008_000000.mat", {"LabelMap": np.array([[1, 2, 9], [458, 459, 255]], dtype=np.uint16)})
    (mask,) = masks_of(Context60, base)
    assert mask.tolist() == [[0, 1, 2], [59, 0, 0]]
    (mask,) = masks_of(Context59, base)
    assert mask.tolist() == [[255, 0, 1], [58, 255, 255]]


def test_cityscapes_ids(tmp_path):
    base = write_cityscapes(tmp_path, 2, size=(2, 3))
    data = ready(Cityscapes, base)
    assert [files.id for files in data.dataset.files] == ["lindau_000001_000019", "munster_000000_000019"]
    Image.fromarray(np.array([[0, 7, 33], [29, 31, 6]], dtype=np.uint8)).save(data.dataset.files[0].mask)
    assert data.dataset[0]["mask"].tolist() == [[255, 0, 18], [255, 16, 255]]
    Image.fromarray(np.full((2, 3), 34, dtype=np.uint8)).save(data.dataset.files[0].mask)
    with pytest.raises(DataError, match=r"outside the table: 34 .*expected 0\.\.33, 255"):
        data.dataset[0]


def test_ade20k_ignores_0_and_shifts_the_rest(tmp_path):
    base = write_ade20k(tmp_path, 1, size=(2, 2))
    mask_path = base / "annotations/validation/ADE_val_00000000.png"
    Image.fromarray(np.array([[0, 1], [150, 2]], dtype=np.uint8)).save(mask_path)
    (mask,) = masks_of(ADE20K, base)
    assert mask.tolist() == [[255, 0], [149, 1]]


def test_a_matlab_mask_of_another_size_is_found_by_its_header(tmp_path):
    base = write_context(tmp_path, 1, raw=True)
    savemat(base / "trainval/2008_000000.mat", {"LabelMap": np.zeros((48, 65), dtype=np.uint16)})
    with pytest.raises(DataError, match=r"2008_000000\.mat has 48 x 65 pixels"):
        ready(Context60, base)


def test_listed_twice(tmp_path):
    base = write_context(tmp_path, 2)
    (base / "ImageSets/SegmentationContext/val.txt").write_text("2008_000000\n2008_000001\n2008_000000\n")
    with pytest.raises(DataError, match=r"1 samples are listed more than once: 2008_000000\."):
        ready(Context60, base)


@pytest.mark.parametrize("module", [Context60, Cityscapes, ADE20K, COCOStuff10k, COCOObject])
def test_missing_root_says_what_was_looked_for(tmp_path, module):
    with pytest.raises(DataError, match=r"which does not hold it\. Looked in .*all of these: .*--data\.root"):
        ready(module, tmp_path)
