"""Samples that stay in memory from one run to the next, and who reads them."""

import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning.data import VOC21
from sclip_lightning.data.reading.dataset import keep
from sclip_lightning.engine.datamodule import SegmentationDataModule
from tests.fake_data import write_voc


@pytest.fixture
def module(tmp_path):
    write_voc(tmp_path, 3)
    for path in (tmp_path / "VOCdevkit/VOC2012/JPEGImages").iterdir():
        with Image.open(path) as image:
            np.savez(tmp_path / f"{path.stem}.npz", instance_mask=np.full(image.size[::-1], 70000))
    data = VOC21(str(tmp_path), short_side=32, num_workers=1, regions=str(tmp_path))
    data.setup()
    data.read_regions(["a part"])
    module = SegmentationDataModule(data)
    module.kept = {}
    return module


def read(module):
    """All samples of a loader, as the trainer takes them; and how many processes read them."""
    loader = module.test_dataloader()
    batches = [module.on_before_batch_transfer(batch, 0) for batch in loader]
    return [sample for batch in batches for sample in batch], loader.num_workers


def test_the_processes_asked_for_read_what_is_not_kept(module):
    first, workers = read(module)
    assert workers == 1
    assert sorted(module.kept) == [0, 1, 2]
    assert not any(sample["image"].is_shared() for sample in module.kept.values())
    for files in module.data.dataset.files:
        files.image.unlink()
    again, workers = read(module)
    assert workers == 0
    for one, other in zip(first, again, strict=True):
        assert one["id"] == other["id"]
        assert all(torch.equal(one[name], other[name]) for name in ("image", "rgb", "mask", "regions"))


def test_what_does_not_fit_is_read_again_by_them(module):
    (first, *_), _ = read(module)
    del module.kept[1]
    keep(module.kept, {**first, "index": 1}, limit=0)
    assert 1 not in module.kept
    assert read(module)[1] == 1
