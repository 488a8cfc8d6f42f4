import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers.checkpoints import load_clip
from tests.tiny_clip import TINY, build, write_tiny_clip


@pytest.fixture
def state():
    torch.manual_seed(1)
    return build(TINY).state_dict()


class _Archive(torch.nn.Module):
    """Stands in for OpenAI's TorchScript archives: half-precision parameters and three numbers about the model."""

    def __init__(self, model):
        super().__init__()
        for name, module in model.named_children():
            self.add_module(name, module)
        for name, parameter in model.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, value in (("input_resolution", 64), ("context_length", 77), ("vocab_size", 49408)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, x):
        return x


def write_torchscript(state, path):
    model = build(TINY)
    model.load_state_dict(state)
    torch.jit.trace(_Archive(model.half()), torch.zeros(1)).save(path)


def of_training(state):
    """What open_clip's training saves after an epoch, on several devices and compiled."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    named = {f"module._orig_mod.{name}": value for name, value in state.items()}
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 0}
    return {
        "epoch": 3,
        "name": "a run",
        "state_dict": named,
        "optimizer": optimizer.state_dict(),
        "scaler": scaler,
    }


@pytest.mark.slow
def test_checkpoint_formats_load_alike(tmp_path, tiny_clip, state):
    files = {
        name: tmp_path / name
        for name in ("plain.pt", "wrapped.pt", "parallel.pt", "epoch_3.pt", "file.safetensors", "archive.pt")
    }
    torch.save(state, files["plain.pt"])
    torch.save({"state_dict": state, "epoch": 3}, files["wrapped.pt"])
    torch.save({f"module.{name}": value for name, value in state.items()}, files["parallel.pt"])
    torch.save(of_training(state), files["epoch_3.pt"])
    save_file(state, files["file.safetensors"])
    write_torchscript(state, files["archive.pt"])
    for name, file in files.items():
        loaded = load_clip(tiny_clip, str(file))
        assert loaded.weights == name
        for key, value in loaded.model.state_dict().items():
            expected = state[key].half().float() if name == "archive.pt" else state[key]
            torch.testing.assert_close(value, expected, atol=0, rtol=0)


def test_local_folder_brings_its_own_weights(tmp_path):
    architecture = write_tiny_clip(tmp_path / "model", seed=5)
    stored = load_file(tmp_path / "model" / "open_clip_model.safetensors")
    loaded = load_clip(architecture)
    assert torch.equal(loaded.model.visual.proj, stored["visual.proj"])
    assert not loaded.model.training


def test_local_folder_without_weights_is_refused(tmp_path):
    architecture = write_tiny_clip(tmp_path / "model")
    (tmp_path / "model" / "open_clip_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="weights"):
        load_clip(architecture)


@pytest.mark.slow
def test_no_weights_are_random_and_say_so(tiny_clip):
    torch.manual_seed(0)
    first = load_clip(tiny_clip, None)
    torch.manual_seed(0)
    second = load_clip(tiny_clip, None)
    assert "untrained" in first.weights
    assert first.fingerprint == second.fingerprint
    assert load_clip(tiny_clip, None).fingerprint != first.fingerprint


def test_wrong_checkpoints_are_refused_by_name_and_shape(tmp_path, tiny_clip, state):
    path = tmp_path / "wrong.pt"
    torch.save({**state, "visual.proj": torch.zeros(32, 8)}, path)
    with pytest.raises(CheckpointError, match=r"wrong.pt.*visual.proj is \(32, 8\), the model needs \(32, 16\)"):
        load_clip(tiny_clip, str(path))
    torch.save({name: value for name, value in state.items() if name != "ln_final.bias"}, path)
    with pytest.raises(CheckpointError, match=r"1 missing \(ln_final.bias\)"):
        load_clip(tiny_clip, str(path))
    torch.save({**state, "decoder.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"1 unexpected \(decoder.weight\)"):
        load_clip(tiny_clip, str(path))


def test_not_a_number_is_refused(tmp_path, tiny_clip, state):
    state["visual.ln_post.weight"][3] = torch.nan
    torch.save(state, tmp_path / "nan.pt")
    with pytest.raises(CheckpointError, match=r"nan.pt.*NaN.*visual.ln_post.weight"):
        load_clip(tiny_clip, str(tmp_path / "nan.pt"))


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 torn"])
def test_unreadable_files_are_refused(tmp_path, tiny_clip, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken.pt cannot be read"):
        load_clip(tiny_clip, str(path))


def test_pickled_code_is_refused(tmp_path, tiny_clip):
    torch.save({"state_dict": torch.nn.Linear(1, 1)}, tmp_path / "pickle.pt")
    with pytest.raises(CheckpointError, match=r"pickle.pt cannot be read"):
        load_clip(tiny_clip, str(tmp_path / "pickle.pt"))


@pytest.mark.slow
def test_openai_archive_needs_quickgelu(tmp_path, state):
    path = tmp_path / "archive.pt"
    write_torchscript(state, path)
    plain = write_tiny_clip(tmp_path / "plain", config=TINY | {"quick_gelu": False})
    with pytest.raises(CheckpointError, match="QuickGELU"):
        load_clip(plain, str(path))


def test_unknown_names_are_refused():
    with pytest.raises(CheckpointError, match=r"no model 'ViT-B-17'.*ViT-B-16"):
        load_clip("ViT-B-17")
    with pytest.raises(CheckpointError, match=r"'opneai'.*neither a file nor a tag.*'openai'"):
        load_clip("ViT-B-16-quickgelu", "opneai")


def test_published_weights_come_from_open_clip(monkeypatch, tiny_clip):
    """The tag reaches open_clip, which must then deliver weights."""
    asked = {}

    def create_model(architecture, **options):
        asked.update(options, architecture=architecture)
        return build(TINY)

    monkeypatch.setattr(open_clip, "create_model", create_model)
    loaded = load_clip("ViT-B-16-quickgelu", "openai")
    assert asked["architecture"] == "ViT-B-16-quickgelu"
    assert asked["pretrained"] == "openai"
    assert asked["require_pretrained"]
    assert loaded.weights == "openai"


def test_no_network_says_what_to_do(monkeypatch):
    def fail(*args, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr("open_clip.factory.download_pretrained", fail)
    with pytest.raises(CheckpointError, match=r"could not be fetched.*--model.weights FILE"):
        load_clip("ViT-B-16-quickgelu", "openai")
