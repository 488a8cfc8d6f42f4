"""Samples that go from one process to another are what they were."""

from multiprocessing.reduction import ForkingPickler
from pickle import loads

import torch
from torch.utils.data import DataLoader

from sclip_lightning.data.reading.handover import InOnePiece

SAMPLES = [
    {
        "index": 3,
        "id": "a",
        "image": torch.randn(3, 5, 7),
        "rgb": torch.arange(9 * 11 * 3, dtype=torch.int64).to(torch.uint8).view(9, 11, 3).permute(2, 0, 1),
        "mask": torch.zeros(9, 11, dtype=torch.uint8),
        "regions": torch.arange(99).view(9, 11) << 33,
        "fingerprint": {"image": "0"},
        "error": None,
    },
    {
        "index": 4,
        "id": "b",
        "image": torch.zeros(0),
        "rgb": torch.zeros(0),
        "mask": torch.zeros(0),
        "regions": None,
        "fingerprint": {},
        "error": "cannot be read",
    },
]


def assert_same(received):
    assert type(received) is list
    for sample, original in zip(received, SAMPLES, strict=True):
        assert sample.keys() == original.keys()
        for name, value in original.items():
            if isinstance(value, torch.Tensor):
                assert (sample[name].dtype, sample[name].shape) == (value.dtype, value.shape)
                assert torch.equal(sample[name], value)
            else:
                assert sample[name] == value


def test_everything_arrives():
    assert_same(loads(bytes(ForkingPickler.dumps(InOnePiece(SAMPLES)))))


def test_a_sample_is_one_piece_of_memory():
    (received,) = DataLoader(SAMPLES, batch_size=2, num_workers=1, collate_fn=InOnePiece)
    assert_same(received)
    tensors = [value for sample in received for value in sample.values() if isinstance(value, torch.Tensor)]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1
