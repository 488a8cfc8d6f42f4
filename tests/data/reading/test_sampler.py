import pytest
from torch.utils.data import DistributedSampler

from sclip_lightning.data.reading.sampler import ShardSampler


@pytest.mark.parametrize("size", [1, 2, 5, 8, 23])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_owned_indices_are_a_partition(size, world):
    samplers = [ShardSampler(range(size), world, rank) for rank in range(world)]
    owned = [index for sampler in samplers for index in sampler if sampler.owns(index)]
    assert sorted(owned) == list(range(size))
    for rank, sampler in enumerate(samplers):
        assert len(sampler) == len(list(sampler)) >= 1
        if rank < size:
            assert list(sampler) == list(range(rank, size, world))


def test_a_rank_without_images_gets_one_it_does_not_own():
    sampler = ShardSampler(range(2), num_replicas=4, rank=3)
    assert list(sampler) == [0]
    assert not sampler.owns(0)


def test_lightning_leaves_it_alone():
    assert isinstance(ShardSampler(range(3)), DistributedSampler)
