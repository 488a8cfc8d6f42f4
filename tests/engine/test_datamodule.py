"""A benchmark's samples as Lightning reads them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DistributedSampler

from sclip_lightning.data import VOC21
from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.errors import DataError
from tests.fake_data import write_voc


def ready(root, **options):
    module = SegmentationDataModule(VOC21(root=str(root), **{"short_side": 32, "num_workers": 0} | options))
    module.setup("test")
    return module


def test_samples(tmp_path):
    module = ready(write_voc(tmp_path, 3), batch_size=2)
    batches = list(module.test_dataloader())
    assert [[sample["id"] for sample in batch] for batch in batches] == [
        ["2007_000000", "2007_000001"],
        ["2007_000002"],
    ]
    first, second = batches[0]
    assert first["image"].dtype == torch.float32
    assert first["image"].shape == (3, 32, 43)
    assert first["rgb"].dtype == first["mask"].dtype == torch.uint8
    assert first["rgb"].shape == (3, 48, 64)
    assert first["mask"].shape == (48, 64)
    assert second["mask"].shape == (64, 48)
    assert (first["mask"][:2] == 255).all()
    assert second["index"] == 1
    files = module.data.dataset.files[0]
    assert np.array_equal(first["mask"].numpy(), np.array(Image.open(files.mask)))
    assert np.array_equal(first["rgb"].permute(1, 2, 0).numpy(), np.array(Image.open(files.image)))


def test_a_protocol_may_come_after_setup(tmp_path):
    module = ready(write_voc(tmp_path, 1), short_side=None)
    notes = module.data.benchmark.notes
    for short_side in (24, 96):
        module.data.use(Protocol(short_side=short_side))
        ((sample,),) = module.test_dataloader()
        again = module.data.dataset[0]
        assert sample["image"].shape == again["image"].shape == (3, short_side, short_side * 64 // 48)
    assert module.data.benchmark.notes == notes != ()


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_samples(tmp_path, world):
    root = write_voc(tmp_path, 3)
    scored = []
    for rank in range(world):
        module = ready(root)
        module.trainer = SimpleNamespace(
            world_size=world, global_rank=rank, strategy=SimpleNamespace(root_device=torch.device("cpu"))
        )
        loader = module.test_dataloader()
        assert isinstance(loader.sampler, DistributedSampler)
        scored += [sample["index"] for batch in loader for sample in batch if module.owns(sample["index"])]
    assert sorted(scored) == [0, 1, 2]


def test_an_error_in_a_worker_stays_a_data_error(tmp_path):
    module = ready(write_voc(tmp_path, 2), num_workers=1)
    image = module.data.dataset.files[1].image
    image.write_bytes(image.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"2007_000001\.jpg cannot be read as an image: .*truncated"):
        list(module.test_dataloader())
