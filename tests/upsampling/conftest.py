import pytest
import torch

from tests.upsampling.recipe import random_loftup


@pytest.fixture
def network():
    """A small network with 64 channels."""
    return random_loftup(64)


@pytest.fixture
def small_state(network):
    return network.state_dict()


@pytest.fixture
def window():
    """Features [3, 64, 6, 5] and guidance [3, 3, 96, 80]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 64, 6, 5, generator=generator), torch.rand(3, 3, 96, 80, generator=generator)
