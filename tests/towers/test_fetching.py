"""Which weights would have to be fetched; nothing is."""

import open_clip
import pytest

from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers import fetching
from sclip_lightning.towers.fetching import clip_source, features_source

OPENAI, DINO = ("ViT-B-16-quickgelu", "openai"), ("vit_base_patch8_224.dino", "published")


@pytest.fixture
def cached(monkeypatch):
    """Files in the cache, by repository."""
    files = {}
    look = lambda repository, name: f"/cache/{name}" if name in files.get(repository, ()) else None  # noqa: E731
    monkeypatch.setattr(fetching, "try_to_load_from_cache", look)
    return files


def test_what_is_not_in_the_cache_has_an_address(cached):
    assert clip_source(*OPENAI) == "https://huggingface.co/timm/vit_base_patch16_clip_224.openai"
    assert features_source(*DINO) == "https://huggingface.co/timm/vit_base_patch8_224.dino"


def test_what_is_there_has_none(cached, tmp_path):
    cached["timm/vit_base_patch16_clip_224.openai"] = ["open_clip_model.safetensors"]
    cached["timm/vit_base_patch8_224.dino"] = ["model.safetensors"]
    (tmp_path / "clip.pt").touch()
    file = str(tmp_path / "clip.pt")
    assert [clip_source(*one) for one in (OPENAI, (OPENAI[0], file), ("demo", "demo"), (OPENAI[0], None))] == [None] * 4
    assert [features_source(*one) for one in (DINO, (DINO[0], file), ("demo", "demo"), (DINO[0], None))] == [None] * 4


def test_weights_that_no_repository_has_lie_in_open_clip_s_own_cache(cached, tmp_path, monkeypatch):
    source = {"url": "https://example.org/models/abc/ViT.pt", "hf_hub": ""}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: source)
    monkeypatch.setattr(fetching, "_CACHE", str(tmp_path))
    assert clip_source(*OPENAI) == source["url"]
    (tmp_path / "ViT.pt").touch()
    assert clip_source(*OPENAI) is None


@pytest.mark.parametrize(
    ("source_of", "arguments", "message"),
    [
        (clip_source, ("ViT-B-16-quickgelu", "opnai"), "neither a file nor a tag"),
        (clip_source, ("ViT-B-17", "openai"), "no model 'ViT-B-17'"),
        (features_source, ("vit_base_patch8_224.dino", "none.pth"), "are no file"),
        (features_source, ("vit_base_patch9_224.dino", "published"), "no network 'vit_base_patch9_224.dino'"),
    ],
)
def test_what_nobody_has_is_an_error(cached, source_of, arguments, message):
    with pytest.raises(CheckpointError, match=message):
        source_of(*arguments)
