"""Checkpoints from others: their tensors are read, and nothing in them is run."""

import hashlib
import pickle
import shutil
import warnings
import zipfile
from typing import Tuple  # noqa: UP035  what TorchScript understands

import pytest
import torch

from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers import archives
from sclip_lightning.towers.archives import read_archive
from sclip_lightning.towers.checkpoints import load_clip
from tests.tiny_clip import TINY, build, write_tiny_clip

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:The checkpoint")


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.plain = torch.ones(4)  # neither parameter nor buffer: no part of the state dict

    def forward(self, x):
        return self.norm(self.linear(x)) + self.plain.sum()


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Inner(), Inner()
        self.scale = torch.nn.Parameter(torch.tensor(3.0, dtype=torch.bfloat16))
        self.register_buffer("view", torch.arange(12).view(3, 4).T)

    def forward(self, x):
        return self.second(self.first(x))


class Writing(torch.nn.Module):
    """Makes a file when it is loaded: what any archive from a stranger could do."""

    def __init__(self, target):
        super().__init__()
        self.target = target
        self.made = torch.zeros(1)

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return self.target, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[str, bool]):  # noqa: UP006
        self.target = state[0]
        self.training = state[1]
        self.made = torch.from_file(self.target, True, 4)


def rewrite(source, target, changes):
    """A copy of an archive with other contents of some entries."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name.partition("/")[2], old.read(name)))


@pytest.fixture
def archive(tmp_path):
    torch.manual_seed(0)
    torch.jit.script(Outer().eval()).save(tmp_path / "outer.pt")
    return tmp_path / "outer.pt"


def test_an_archive_gives_what_loading_it_would(archive):
    expected = torch.jit.load(archive).state_dict()
    found = read_archive(archive)
    assert found.keys() == expected.keys()
    assert "first.plain" not in found
    assert "first.norm.running_mean" in found
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_code_in_an_archive_is_not_run(tmp_path, tiny_clip):
    target = tmp_path / "written"
    path = tmp_path / "stranger.pt"
    torch.jit.script(Writing(str(target))).save(path)
    target.unlink(missing_ok=True)
    torch.jit.load(path)
    assert target.exists()  # so it would be run
    target.unlink()
    with pytest.raises(CheckpointError, match=r"stranger\.pt does not fit"):
        load_clip(tiny_clip, str(path))
    assert not target.exists()


class Command:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return shutil.copy, (__file__, str(self.target))


def test_pickled_calls_in_an_archive_are_not_made(archive, tmp_path, tiny_clip):
    target = tmp_path / "copied"
    rewrite(archive, tmp_path / "stranger.pt", {"data.pkl": pickle.dumps(Command(target), protocol=2)})
    with pytest.raises(CheckpointError, match=r"stranger\.pt cannot be read \(it asks for shutil\.copy"):
        load_clip(tiny_clip, str(tmp_path / "stranger.pt"))
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", bytes(7), bytes(4096)])
def test_tensors_of_another_length_are_refused(archive, tmp_path, content):
    rewrite(archive, tmp_path / "torn.pt", {"data/0": content})
    with pytest.raises(ValueError, match=r"data/0 has \d+ bytes instead of \d+"):
        read_archive(tmp_path / "torn.pt")


@pytest.mark.parametrize("entry", ["data.pkl", "constants.pkl", "byteorder"])
def test_damaged_archives_are_one_sentence(archive, tmp_path, tiny_clip, entry):
    rewrite(archive, tmp_path / "torn.pt", {entry: b"\x80\x02torn"})
    with pytest.raises(CheckpointError, match=r"torn\.pt") as error:
        load_clip(tiny_clip, str(tmp_path / "torn.pt"))
    assert "\n" not in str(error.value)


def test_what_openai_published_is_told_from_the_rest(archive, tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match=r"outer\.pt has the SHA-256 [0-9a-f]{64}; OpenAI published none"):
        archives.note_if_unknown(archive)
    shutil.copy(archive, tmp_path / "ViT-B-16.pt")
    with pytest.warns(UserWarning, match=r"OpenAI's ViT-B-16\.pt is 5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e"):
        archives.note_if_unknown(tmp_path / "ViT-B-16.pt")
    address = f"https://openaipublic.example/clip/models/{hashlib.sha256(archive.read_bytes()).hexdigest()}/outer.pt"
    monkeypatch.setattr("open_clip.get_pretrained_url", lambda *_: address)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        archives.note_if_unknown(archive)


# Checkpoints in a model's folder


def test_a_checkpoint_in_a_folder_that_does_not_fit_is_named(tmp_path):
    architecture = write_tiny_clip(tmp_path / "model")
    (tmp_path / "model" / "open_clip_model.safetensors").unlink()
    torch.save(build(TINY | {"embed_dim": 8}).state_dict(), tmp_path / "model" / "open_clip_pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"open_clip_pytorch_model\.bin does not fit the model.*visual\.proj"
    ) as error:
        load_clip(architecture)
    assert "\n" not in str(error.value)


def test_a_checkpoint_in_a_folder_that_cannot_be_read_is_named(tmp_path):
    architecture = write_tiny_clip(tmp_path / "model")
    (tmp_path / "model" / "open_clip_model.safetensors").unlink()
    path = tmp_path / "model" / "open_clip_pytorch_model.bin"
    torch.save(build(TINY).state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"open_clip_pytorch_model\.bin cannot be read"):
        load_clip(architecture)
    torch.save({"model": Command(tmp_path / "copied")}, path)
    with pytest.raises(CheckpointError, match=r"open_clip_pytorch_model\.bin cannot be read"):
        load_clip(architecture)
    assert not (tmp_path / "copied").exists()


def test_a_folder_without_configuration_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"from the folder .*nowhere.*open_clip_config\.json"):
        load_clip(f"local-dir:{tmp_path / 'nowhere'}")
