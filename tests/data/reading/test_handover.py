"""Samples that go from one process to another are what they were."""

import threading
from multiprocessing.reduction import ForkingPickler
from pickle import loads

import pytest
import torch
from torch.utils.data import DataLoader

from sclip_lightning.data.reading.handover import AheadLoader, InOnePiece
from sclip_lightning.errors import DataError

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


class Counted:
    """Says what was read, and by whom; the fourth cannot be."""

    def __init__(self):
        self.read = []
        self.enough = threading.Condition()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        with self.enough:
            self.read.append((index, threading.current_thread() is threading.main_thread()))
            self.enough.notify()
        if index == 3:
            raise DataError("The fourth cannot be read.")
        return index

    def wait_for(self, number):
        with self.enough:
            assert self.enough.wait_for(lambda: len(self.read) >= number, timeout=60)


def test_one_batch_is_read_ahead_and_no_more():
    images = Counted()
    batches = iter(AheadLoader(images, batch_size=1, collate_fn=list))
    for number in range(3):
        assert next(batches) == [number]
        images.wait_for(number + 2)
        assert images.read == [(index, False) for index in range(number + 2)]
    with pytest.raises(DataError, match="fourth"):
        next(batches)


def test_a_loader_that_is_left_alone_ends_its_thread():
    batches = iter(AheadLoader(Counted(), batch_size=1, collate_fn=list))
    next(batches)
    batches.close()
    assert not any(thread.name.startswith("ahead-of-the-network") for thread in threading.enumerate())


def test_processes_that_read_are_received_from_likewise():
    (received,) = AheadLoader(SAMPLES, batch_size=2, num_workers=1, collate_fn=InOnePiece)
    assert_same(received)
