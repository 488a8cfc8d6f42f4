"""Where the second network and its weights come from: timm's names, files, folders, the demo."""

import json
from types import SimpleNamespace

import pytest
import timm
import torch
from safetensors.torch import save_file

from sclip_lightning.errors import CheckpointError
from sclip_lightning.files import DEMO_FEATURES
from sclip_lightning.towers import load_features
from sclip_lightning.towers.checkpoints import fingerprint
from tests.tiny_dino import MICRO

PUBLISHED = ("vit_base_patch8_224.dino", "vit_base_patch14_reg4_dinov2.lvd142m", "vit_base_patch16_dinov3.lvd1689m")
#: What timm writes beside the weights of a network.
CONFIG = {"architecture": MICRO, "num_classes": 0, "model_args": {"num_heads": 4}}


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return load_features(MICRO, None)


@pytest.fixture
def checkpoint(tower, tmp_path):
    """A file with the weights of ``tower``."""
    path = tmp_path / "own.safetensors"
    save_file(tower.network.state_dict(), path)
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_timm_holds_the_published_networks(name):
    assert timm.get_pretrained_cfg(name).hf_hub_id == f"timm/{name}"


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_weights_from_a_file(tower, checkpoint, kind, tmp_path):
    if kind == "torch":
        checkpoint = tmp_path / "own.pth"
        torch.save({"state_dict": tower.network.state_dict()}, checkpoint)
    loaded = load_features(MICRO, str(checkpoint))
    assert fingerprint(loaded) == fingerprint(tower)
    assert (loaded.architecture, loaded.weights) == (MICRO, checkpoint.name)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.network.training


def test_random_weights_say_so(tower):
    assert tower.weights == "untrained (random)"
    assert fingerprint(load_features(MICRO, None)) != fingerprint(tower)


def hub(monkeypatch, fetch):
    """Let ``fetch`` stand for the Hub, which has the micro network."""
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: SimpleNamespace(hf_hub_id=f"timm/{name}"))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)


def test_weights_from_the_hub(monkeypatch, tower, checkpoint):
    asked = []
    hub(monkeypatch, lambda *arguments: asked.append(arguments) or str(checkpoint))
    loaded = load_features(MICRO)
    assert asked == [(f"timm/{MICRO}", "model.safetensors")]
    assert fingerprint(loaded) == fingerprint(tower)
    assert loaded.weights == "published"


def test_without_a_network_the_error_says_what_to_fetch(monkeypatch):
    def offline(*_):
        raise OSError("no route\nto host")

    hub(monkeypatch, offline)
    expected = rf"not in the local cache \(OSError: no route to host\).*download model.safetensors from .*/timm/{MICRO}"
    with pytest.raises(CheckpointError, match=expected):
        load_features(MICRO)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="no published weights for"):
        load_features(MICRO)


@pytest.mark.parametrize("name", ["vit_base_patch8_224.dinosaur", "vit_base_patch16_224.augreg_in21k", "resnet50"])
def test_other_networks_are_refused(name):
    with pytest.raises(CheckpointError, match=rf"timm [\d.]+ has no network {name!r} of the DINO family.*such as vit_"):
        load_features(name, None)


def test_wrong_checkpoints_are_refused(tower, tmp_path):
    def saved(state):
        save_file(state, tmp_path / "wrong.safetensors")
        return str(tmp_path / "wrong.safetensors")

    state = {name: value.clone() for name, value in tower.network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"1 missing \(norm.bias\).*Set network to the model"):
        load_features(MICRO, saved({name: value for name, value in state.items() if name != "norm.bias"}))
    with pytest.raises(CheckpointError, match=r"of another shape \(pos_embed is \(1, 5, 16\)"):
        load_features(MICRO, saved(state | {"pos_embed": state["pos_embed"][:, :5].clone()}))
    with pytest.raises(CheckpointError, match="NaN or infinite values in 1 parameters"):
        load_features(MICRO, saved(state | {"norm.bias": torch.full((16,), torch.nan)}))
    with pytest.raises(CheckpointError, match=r"The weights 'nowhere.pth' of vit_micro.* are no file. Give the path"):
        load_features(MICRO, "nowhere.pth")


@pytest.fixture
def folder(tower, tmp_path):
    """A network's folder as on the Hub, its name for the option, and how to write another configuration."""
    place = tmp_path / "net"
    place.mkdir()
    save_file(tower.network.state_dict(), place / "model.safetensors")

    def write(config):
        (place / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))

    write(CONFIG)
    return SimpleNamespace(path=place, name=f"local-dir:{place}", write=write)


def test_a_folder_has_network_and_weights(folder, tower, checkpoint):
    loaded = load_features(folder.name, "published")
    assert fingerprint(loaded) == fingerprint(tower)
    assert loaded.network.blocks[0].attn.num_heads == 4  # MICRO has 2
    assert loaded.architecture == folder.name
    assert loaded.weights.startswith("model.safetensors with config.json ")
    folder.write(CONFIG | {"model_args": {"num_heads": 1}})
    assert load_features(folder.name, "demo").weights != loaded.weights  # other features by the same weights
    assert load_features(folder.name, str(checkpoint)).weights.startswith("own.safetensors with config.json ")
    assert load_features(folder.name, None).weights == "untrained (random)"


def test_a_folder_that_has_no_network_is_refused(folder):
    def refused(message, weights="published"):
        with pytest.raises(CheckpointError, match=message):
            load_features(folder.name, weights)

    folder.write(CONFIG | {"architecture": "vit_of_tomorrow"})
    refused(r"config.json describes no network that timm [\d.]+ has, but 'vit_of_tomorrow'. Expected a folder with")
    folder.write("{")
    refused(r"config.json describes no network \(JSONDecodeError")
    folder.write({})
    refused(r"config.json describes no network \(KeyError: 'architecture'\)")
    folder.write(CONFIG | {"model_args": {"num_heads": 5}})
    refused(r"timm cannot make the network .* vit_micro_patch8_64_dino with model_args .*num_heads.: 5")
    folder.write(CONFIG | {"architecture": "resnet18", "model_args": {}})
    refused("timm cannot make the network .* resnet18 with model_args")
    folder.write(CONFIG | {"model_args": {"global_pool": "avg"}})
    refused(f"{MICRO}, which .* describes, has no features of patches after its last norm")
    folder.write(CONFIG | {"model_args": {"patch_size": 16}})
    refused(r"does not fit the model; .*patch_embed.proj.weight is \(16, 3, 8, 8\)")
    folder.write(CONFIG)
    refused("The weights 'nowhere.pth' of local-dir:.* are no file", "nowhere.pth")
    (folder.path / "model.safetensors").unlink()
    refused("There are no weights in the folder .*expected model.safetensors beside config.json")
    (folder.path / "config.json").unlink()
    refused("The network's folder .*net has no config.json. Expected a folder with config.json")
    folder.path.rmdir()
    refused("The network's folder .*net is no folder")


@torch.no_grad()
def test_the_demos_network_comes_with_the_package():
    tower = load_features("demo", "demo")
    assert (tower.architecture, tower.patch_size) == ("demo", (4, 4))
    features = tower.features(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert features.shape == (1, 16, 16, 96)
    assert (DEMO_FEATURES / "model.safetensors").stat().st_size < 2e6
    by_timm = timm.create_model(f"local-dir:{DEMO_FEATURES}", pretrained=True)  # timm reads the folder, too
    assert fingerprint(by_timm) == fingerprint(tower.network)
