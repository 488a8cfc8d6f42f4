"""Weights of LoftUp from numpy's frozen RandomState streams, as the recordings of its authors' code draw them."""

import hashlib

import numpy as np
import torch

from sclip_lightning.upsampling.networks.loftup import LoftUpNetwork


def recipe(shapes, seed):
    """State dict of names and shapes, drawn in their order."""
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


def random_loftup(dim, seed=1234, **sizes):
    """A network with the recipe's weights."""
    network = LoftUpNetwork(dim, **sizes).requires_grad_(False)
    network.load_state_dict(recipe([(key, value.shape) for key, value in network.state_dict().items()], seed))
    return network


def recorded_loftup(config):
    """The network of ``config``, "small" or "real" in a recording."""
    sizes = {name: config[name] for name in ("n_freqs", "num_heads", "num_layers")}
    network = random_loftup(config["dim"], config["seed"], **sizes)
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode() + value.numpy().tobytes())
    assert digest.hexdigest() == config["sha256"]
    return network
