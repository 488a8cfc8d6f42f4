import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sclip_lightning.upsampling import LoftUp


def recipe(shapes, seed):
    """The goldens' weights, from numpy's frozen RandomState streams (goldens/LOFTUP_README.md)."""
    random, state = np.random.RandomState(seed), {}
    for key, shape in shapes:
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(100)
            continue
        n = random.standard_normal(size=tuple(shape))
        if key.endswith("running_var"):
            n = 0.75 + 0.25 * np.abs(n)
        elif key.endswith("in_proj_weight"):
            n *= 1.5 / np.sqrt(shape[1])
        elif len(shape) == 4:
            n *= np.sqrt(2 / np.prod(shape[1:]))
        elif len(shape) == 2:
            n /= np.sqrt(shape[1])
        elif key.endswith("weight"):
            n = 1 + 0.2 * n
        elif not key.endswith("biases"):
            n *= 0.1
        state[key] = torch.from_numpy(n.astype(np.float32))
    return state


def golden_network(config):
    """The network of ``config``, "small" or "real" in the goldens, with the recipe's weights."""
    network = LoftUp(config["dim"]).requires_grad_(False)
    state = recipe([(key, value.shape) for key, value in network.state_dict().items()], config["seed"])
    digest = hashlib.sha256()
    for key, value in state.items():
        digest.update(key.encode() + value.numpy().tobytes())
    assert digest.hexdigest() == config["sha256"]
    network.load_state_dict(state)
    return network


@pytest.fixture(scope="session")
def golden():
    return np.load(Path(__file__).parents[1] / "goldens" / "loftup.npz", allow_pickle=False)


@pytest.fixture
def network(golden):
    """The goldens' small network: 64 channels."""
    return golden_network(json.loads(str(golden["cfg"]))["small"])


@pytest.fixture
def small_state(network):
    return network.state_dict()


@pytest.fixture(scope="session")
def networks(golden):
    """The networks of both sizes that the recordings were made with."""
    config = json.loads(str(golden["cfg"]))
    return {size: golden_network(config[size]) for size in ("small", "real")}


@pytest.fixture
def window():
    """Features [3, 64, 6, 5] and guidance [3, 3, 96, 80]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 64, 6, 5, generator=generator), torch.rand(3, 3, 96, 80, generator=generator)
