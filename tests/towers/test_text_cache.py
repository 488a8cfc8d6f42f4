"""Cached text embeddings belong to one model, one tokenizer and one list of names, and are checked when read."""

import hashlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import open_clip
import pytest
import torch

from sclip_lightning.towers.checkpoints import load_clip
from sclip_lightning.towers.text import build_text_bank
from tests.tiny_clip import TINY, build, write_tiny_clip

NAMES = [["cat"], ["dog", "puppy"]]


def bank(clip, cache):
    return build_text_bank(clip, NAMES, ["a {}", "the {}"], cache=cache).queries


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint that fits models which differ in what no parameter says."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    torch.save(build(TINY).state_dict(), path)
    return str(path)


@pytest.mark.slow
def test_the_same_weights_under_another_activation_are_another_model(tmp_path, weights):
    quick = write_tiny_clip(tmp_path / "quick")
    plain = write_tiny_clip(tmp_path / "plain", config=TINY | {"quick_gelu": False})
    first, second = load_clip(quick, weights), load_clip(plain, weights)
    assert first.fingerprint == second.fingerprint
    assert first.configuration_sha256 != second.configuration_sha256
    cached = bank(first, tmp_path / "cache"), bank(second, tmp_path / "cache")
    assert not torch.equal(*cached)
    assert torch.equal(cached[1], bank(second, None))


class Reversed:
    """Another tokenizer: it reads words from their end."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, texts):
        return self.tokenizer([text[::-1] for text in texts])


def test_another_tokenizer_is_another_model(tmp_path, tiny_clip):
    clip = load_clip(tiny_clip)
    other = replace(clip, tokenizer=Reversed(clip.tokenizer))
    first, second = bank(clip, tmp_path), bank(other, tmp_path)
    assert not torch.equal(first, second)
    assert torch.equal(second, bank(other, None))


def test_another_version_of_open_clip_encodes_again(tmp_path, tiny_clip, monkeypatch):
    clip = load_clip(tiny_clip)
    bank(clip, tmp_path)
    monkeypatch.setattr(open_clip, "__version__", "99.0")
    bank(clip, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def cached(tmp_path, tiny_clip):
    """A model, its bank, and the one file in the cache."""
    clip = load_clip(tiny_clip)
    whole = bank(clip, tmp_path)
    (file,) = tmp_path.iterdir()
    return clip, whole, file


@pytest.mark.parametrize("position", [0, 10, 140, -40, -1])
def test_a_flipped_bit_is_noticed(cached, position):
    clip, whole, file = cached
    content = bytearray(file.read_bytes())
    content[position] ^= 4
    file.write_bytes(content)
    assert torch.equal(bank(clip, file.parent), whole)
    assert np.array_equal(np.load(file), whole)  # and the file is whole again


def write_bank(file, name, queries):
    """A bank with the checksum of a file called ``name``."""
    stored = BytesIO()
    np.save(stored, queries.numpy())
    file.write_bytes(stored.getvalue() + hashlib.sha256(name.encode() + stored.getvalue()).digest())


@pytest.mark.parametrize("wrong", ["scaled", "wider", "double", "of another name"])
def test_what_is_no_bank_of_this_model_is_not_taken(cached, wrong):
    """Files in the right form, as another version of the package or a hand might have left them."""
    clip, whole, file = cached
    others = {
        "scaled": 2 * whole,
        "wider": torch.eye(3, clip.text_width + 1),
        "double": whole.double(),
        "of another name": whole.flip(0),
    }
    write_bank(file, file.name, whole.flip(0))
    assert torch.equal(bank(clip, file.parent), whole.flip(0))  # this is how a bank is read
    write_bank(file, "0.npy" if wrong == "of another name" else file.name, others[wrong])
    assert torch.equal(bank(clip, file.parent), whole)


def test_nothing_but_the_bank_is_left(cached):
    _, whole, file = cached
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert whole.norm(dim=1).allclose(torch.ones(len(whole)))
