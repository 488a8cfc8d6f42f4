from pathlib import Path

import huggingface_hub
import pytest

from sclip_lightning.errors import CheckpointError
from sclip_lightning.upsampling.networks.loftup_weights import HubFile, find_weights, load_loftup


def test_a_commit_reaches_the_hub(monkeypatch):
    asked = []

    def download(repo, file, revision):
        asked.append((repo, file, revision))
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    for name in ("haiwen/loftup-clip/folder/weights.bin@0123abc", "haiwen/loftup-clip/weights.bin"):
        with pytest.raises(CheckpointError, match="cannot fetch"):
            load_loftup(name)
    assert asked == [
        ("haiwen/loftup-clip", "folder/weights.bin", "0123abc"),
        ("haiwen/loftup-clip", "weights.bin", None),
    ]


def test_a_local_file_may_have_the_sign_in_its_name(tmp_path, monkeypatch):
    path = tmp_path / "a" / "b" / "weights@2.bin"
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.chdir(tmp_path)
    assert find_weights("a/b/weights@2.bin") == Path("a/b/weights@2.bin")
    assert find_weights("a/b/other.bin@2") == HubFile("a/b", "other.bin", "2")
