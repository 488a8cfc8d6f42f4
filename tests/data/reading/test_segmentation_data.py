import numpy as np
import pytest
import torch

from sclip_lightning.data import VOC20, VOC21, COCOStuff
from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.errors import ConfigError, DataError
from tests.fake_data import write_coco_stuff, write_palette_mask, write_voc

PROTOCOL = Protocol(short_side=336)


def ready(module, root, **options):
    data = module(root=str(root), num_workers=0, **options)
    data.use(PROTOCOL)
    data.setup()
    return data


def masks_of(data):
    return [data.dataset[index]["mask"] for index in range(len(data.dataset))]


def test_short_side_published_own_or_native(tmp_path):
    root = write_voc(tmp_path, 1)
    published = ready(VOC21, root)
    assert (published.short_side, published.resolved_short_side) == (None, 336)
    assert published.dataset[0]["image"].shape == (3, 336, 448)
    native = ready(VOC21, root, short_side=0)
    assert (native.short_side, native.resolved_short_side) == (0, 0)
    assert native.dataset[0]["image"].shape == (3, 48, 64)


def test_without_a_protocol_only_ground_truth_can_be_read(tmp_path):
    data = VOC21(root=str(write_voc(tmp_path, 1)), num_workers=0)
    data.setup()
    assert data.dataset.target(0).shape == (48, 64)
    with pytest.raises(ConfigError, match=r"No short side .* VOC21.*--data\.short_side.*use\(\)"):
        data.set_pipeline()
    with pytest.raises(ConfigError, match=r"not known yet which size.*--data\.short_side.*use\(\)"):
        data.dataset[0]


def test_voc20_ignores_background_and_shifts_the_rest(tmp_path):
    base = write_voc(tmp_path, 1, size=(16, 32))
    labels = np.full((16, 32), 255, dtype=np.uint8)
    labels.flat[:21] = range(21)
    write_palette_mask(base / "SegmentationClass/2007_000000.png", labels)
    assert ready(VOC20, base).dataset[0]["mask"].flatten()[:22].tolist() == [255, *range(20), 255]


def test_raw_and_converted_maps_give_the_same_targets(tmp_path):
    raw = masks_of(ready(COCOStuff, write_coco_stuff(tmp_path / "raw", 6)))
    converted = masks_of(ready(COCOStuff, write_coco_stuff(tmp_path / "converted", 6, converted=True)))
    for one, other in zip(raw, converted, strict=True):
        assert torch.equal(one, other)
    assert max(mask[mask != 255].max() for mask in raw) > 160


def test_num_samples_takes_the_first(tmp_path):
    root = write_coco_stuff(tmp_path, 4)
    assert [files.id for files in ready(COCOStuff, root, num_samples=2).dataset.files] == ["0" * 12, "0" * 11 + "1"]
    assert len(ready(COCOStuff, root, num_samples=9).dataset) == 4


def test_another_number_of_images_than_published_is_noted(tmp_path):
    data = ready(VOC21, write_voc(tmp_path, 4), num_samples=2)
    data.setup()
    assert data.benchmark.notes == ("The split has 4 images here, but 1449 as published.",)


@pytest.mark.parametrize("option", [{"num_samples": 0}, {"short_side": -1}, {"batch_size": 0}, {"num_workers": -1}])
def test_numbers_out_of_range(option):
    with pytest.raises(ConfigError, match=rf"--data\.{next(iter(option))} is .* must be at least"):
        VOC21(**option)


def test_root_comes_from_the_environment_where_not_given(tmp_path, monkeypatch):
    monkeypatch.setenv("SCLIP_DATA_ROOT", str(write_voc(tmp_path, 1)))
    assert len(ready(VOC21, "").dataset) == 1
    monkeypatch.delenv("SCLIP_DATA_ROOT")
    with pytest.raises(DataError, match=r"--data\.root and the environment variable SCLIP_DATA_ROOT are both empty"):
        ready(VOC21, "")


def test_a_label_outside_the_table(tmp_path):
    base = write_voc(tmp_path, 1)
    write_palette_mask(base / "SegmentationClass/2007_000000.png", np.full((48, 64), 77, dtype=np.uint8))
    with pytest.raises(DataError, match=r"2007_000000\.png stores labels outside the table: 77"):
        ready(VOC21, base).dataset[0]


def test_a_size_mismatch_is_found_without_the_header_check(tmp_path):
    data = ready(VOC21, write_voc(tmp_path, 1))
    write_palette_mask(data.dataset.files[0].mask, np.zeros((48, 65), dtype=np.uint8))
    with pytest.raises(DataError, match="48 x 65"):
        data.dataset[0]
