import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from sclip_lightning.errors import CheckpointError
from sclip_lightning.upsampling.networks.loftup_weights import HubFile, load_loftup


@pytest.fixture
def save(tmp_path):
    def write(content, name="weights.bin"):
        path = tmp_path / name
        save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
        return path

    return write


def refused(path, *said):
    with pytest.raises(CheckpointError) as error:
        load_loftup(path, 64)
    message = str(error.value)
    assert "\n" not in message
    for part in (str(path), *said):
        assert part in message


def lightning(state):
    """The authors' Lightning layout: other modules, and objects beside the weights."""
    norm = {key.replace("channelnorm.", "model.1."): value for key, value in state.items() if "channelnorm" in key}
    upsampler = {key: value for key, value in state.items() if "channelnorm" not in key}
    others = {"model.0.model.visual.proj": torch.zeros(3, 3), "downsampler.kernel": torch.zeros(2)}
    return {"epoch": 3, "state_dict": upsampler | norm | others}


def mixin(state):
    return {key.removeprefix("upsampler."): value for key, value in state.items() if key.startswith("upsampler.")}


@pytest.mark.parametrize("layout", [dict, lightning])
def test_layouts_load(small_state, save, layout):
    network = load_loftup(save(layout(small_state)), 64)
    for key, value in network.state_dict().items():
        assert torch.equal(value, small_state[key]), key
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_safetensors_load(small_state, save):
    state = load_loftup(save(small_state, "model.safetensors"), 64).state_dict()
    assert all(torch.equal(state[key], small_state[key]) for key in state)


def test_no_weights_is_a_random_network():
    assert load_loftup(None, 64).upsampler.first_conv[1].weight.std() > 0


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_export_without_channelnorm_is_refused(small_state, save, name):
    refused(save(mixin(small_state), name), "ChannelNorm", "channelnorm.norm.weight", "haiwen/loftup-clip")


def test_lightning_without_channelnorm_is_refused(small_state, save):
    content = lightning(small_state)
    del content["state_dict"]["model.1.norm.weight"]
    refused(save(content), "ChannelNorm")


def test_wrong_tensors_are_refused_by_name_and_shape(small_state, save):
    key = "upsampler.first_conv.1.weight"
    refused(save(small_state | {key: torch.zeros(84, 200, 3, 3)}), key, "[84, 200, 3, 3]", "[84, 203, 3, 3]")
    refused(save({name: value for name, value in small_state.items() if name != key}), f"{key} is missing")
    refused(save(small_state | {"upsampler.lr_pe.extra": torch.zeros(1)}), "upsampler.lr_pe.extra is unknown")
    refused(save(small_state | {key: torch.full((84, 203, 3, 3), torch.nan)}), f"{key} has values that are not finite")


def test_another_backbone_is_refused(small_state, save):
    with pytest.raises(
        CheckpointError, match=r"512 channels: channelnorm.norm.bias has shape \[64\], expected \[512\]"
    ):
        load_loftup(save(small_state))


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, {"visual.proj": torch.zeros(2)}])
def test_other_content_is_refused(save, content):
    refused(save(content))


class Payload:
    def __reduce__(self):
        return print, ("unpickled",)


def test_only_tensors_are_unpickled(save, capsys):
    refused(save({"state_dict": Payload()}), "cannot be read")
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights.bin", "weights.safetensors"])
def test_damaged_and_missing_files(tmp_path, name):
    refused(tmp_path / name, "does not exist")
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    refused(tmp_path / name, "cannot be read")


def test_hub(small_state, save, monkeypatch):
    asked, path = [], save(small_state)

    def download(repo, file, revision):
        asked.append((repo, file, revision))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    load_loftup(dim=64)
    load_loftup(HubFile("me/mine", "x.safetensors", "v1"), 64)
    assert asked == [("haiwen/loftup-clip", "pytorch_model.bin", None), ("me/mine", "x.safetensors", "v1")]


def test_no_network(monkeypatch):
    def download(*_, **__):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(CheckpointError) as error:
        load_loftup()
    assert "https://huggingface.co/haiwen/loftup-clip/resolve/main/pytorch_model.bin" in str(error.value)
    assert "no route to host" in str(error.value)
    assert "--model.upsampler.weights" in str(error.value)
