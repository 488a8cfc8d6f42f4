"""Weights from numpy's frozen RandomState streams, as the recordings of upsamplers draw them, and their guidance."""

import hashlib

import numpy as np
import torch
from torch import Tensor

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


def recorded_state(recording, which):
    """State dict of a recording's network: "small", which lies in it, or "real", which a recipe draws."""
    config = recording.json("cfg")[which]
    if which == "small":
        state = recording.state("sd/")
    else:
        random, state = np.random.RandomState(config["seed"]), {}
        for key, shape in recording.json("real_key_shapes"):
            last = key.rpartition(".")[2]
            if f"real_{last}" in recording:  # what is not drawn
                state[key] = recording.tensor(f"real_{last}")
                continue
            n = random.standard_normal(size=tuple(shape))
            if len(shape) == 4:
                n *= np.sqrt(2 / np.prod(shape[1:]))
            elif len(shape) == 2:
                n *= 1.5 / np.sqrt(shape[1])
            else:
                n = 1 + 0.2 * n if key.endswith("weight") else 0.1 * n
            state[key] = torch.from_numpy(n.astype(np.float32))
    digest = hashlib.sha256()
    for key, value in state.items():
        digest.update(key.encode() + value.numpy().tobytes())
    assert digest.hexdigest() == config["sha256"]
    return state


def recorded_guidance(recording, case) -> Tensor:
    """Images [B, 3, H, W] of a recorded case, as its network is given them."""
    config = recording.json("cfg")
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))
    images = [recording.tensor(f"img/{name}").permute(2, 0, 1) / 255 for name in config["cases"][case]["image"]]
    return torch.stack(
        [(image - mean) / std * by for image, by in zip(images, config["cases"][case]["contrast"], strict=True)]
    )
