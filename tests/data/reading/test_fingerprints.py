import os

import numpy as np
import pytest

from sclip_lightning.data import VOC20, VOC21, COCOStuff
from sclip_lightning.data.reading.fingerprints import labels_checksum
from sclip_lightning.engine.datamodule import SegmentationDataModule
from tests.fake_data import write_coco_stuff, write_palette_mask, write_voc


def ready(module, root, **options):
    data = module(root=str(root), short_side=32, **{"num_workers": 0} | options)
    data.setup()
    return data


def fingerprints(data):
    loader = SegmentationDataModule(data).test_dataloader()
    return {sample["id"]: sample["fingerprint"] for batch in loader for sample in batch}


def test_they_are_taken_where_samples_are_read(tmp_path):
    base = write_voc(tmp_path, 3)
    here, workers = (fingerprints(ready(VOC21, base, num_workers=number)) for number in (0, 2))
    assert here == workers
    assert len({one["image"] for one in here.values()}) == len({one["labels"] for one in here.values()}) == 3
    assert ready(VOC21, base).dataset.changed(here) == []


def test_they_are_of_labels_not_of_stored_values(tmp_path):
    raw = fingerprints(ready(COCOStuff, write_coco_stuff(tmp_path / "raw", 2)))
    converted = fingerprints(ready(COCOStuff, write_coco_stuff(tmp_path / "converted", 2, converted=True)))
    for id_, one in raw.items():
        assert one["labels"] == converted[id_]["labels"]
    base = write_voc(tmp_path / "voc", 1)
    ids = fingerprints(ready(VOC21, base)), fingerprints(ready(VOC20, base))
    assert ids[0]["2007_000000"]["labels"] != ids[1]["2007_000000"]["labels"]


def test_the_shape_counts():
    labels = np.zeros((4, 6), np.uint8)
    assert labels_checksum(labels) != labels_checksum(labels.reshape(6, 4))


@pytest.mark.parametrize("reads", [True, False])
def test_what_was_not_recorded_is_not_compared(tmp_path, reads):
    data = ready(VOC21, write_voc(tmp_path, 3))
    recorded = fingerprints(data)
    mask = data.dataset.files[1].mask
    write_palette_mask(mask, np.ones((64, 48), np.uint8))
    if not reads:
        recorded["2007_000001"] = {}
    recorded["2007_000002"]["image"] = ""  # as of labels that were scored without their image
    data.dataset.files[2].image.write_text("no image")
    assert data.dataset.changed(recorded) == ([f"the mask {mask}"] if reads else [])


def test_a_file_that_is_gone_or_damaged_has_changed(tmp_path):
    data = ready(VOC21, write_voc(tmp_path, 2))
    recorded = fingerprints(data)
    data.dataset.files[0].mask.unlink()
    data.dataset.files[1].mask.write_bytes(b"")
    first, second = data.dataset.changed(recorded)
    assert "2007_000000.png cannot be read" in first
    assert "2007_000001.png cannot be read" in second


def test_looking_costs_little(tmp_path, monkeypatch):
    """Two entries of the file system an image, and no file is opened."""
    data = ready(VOC21, write_voc(tmp_path, 4))
    recorded = fingerprints(data)
    looked, stat = [], os.stat
    monkeypatch.setattr("os.stat", lambda path, **options: looked.append(path) or stat(path, **options))
    for name in ("read_mask", "read_image"):
        monkeypatch.setattr(f"sclip_lightning.data.reading.dataset.{name}", lambda *_: pytest.fail("read a file"))
    assert data.dataset.changed(recorded) == []
    assert len(looked) == 8


def test_the_description_says_what_decides_labels(tmp_path):
    base = write_voc(tmp_path, 1)
    voc21, voc20 = ready(VOC21, base).describe_data(), ready(VOC20, base).describe_data()
    assert voc21["data"] == "VOC21"
    assert voc21["label_map_sha256"] != voc20["label_map_sha256"]
    raw = ready(COCOStuff, write_coco_stuff(tmp_path / "raw", 1)).describe_data()
    converted = ready(COCOStuff, write_coco_stuff(tmp_path / "converted", 1, converted=True)).describe_data()
    assert {name for name in raw if raw[name] != converted[name]} == {"ground_truth", "label_map_sha256"}
    assert str(tmp_path) not in str(raw)
