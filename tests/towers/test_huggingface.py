"""CLIP models of transformers: parity with the library itself, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers import ClipTower
from sclip_lightning.towers.checkpoints import load_clip
from sclip_lightning.towers.huggingface import read_configuration
from sclip_lightning.towers.text import encode_prompts

TOWER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 56}
VISION = TOWER | {"image_size": 48, "patch_size": 16}
TEXT = TOWER | {"max_position_embeddings": 20}


def write(folder, act, eps=1e-5):
    """A random CLIPModel, saved as the library saves it; skipped without the library."""
    transformers = pytest.importorskip("transformers")
    same = {"hidden_act": act, "layer_norm_eps": eps}
    config = transformers.CLIPConfig(text_config=TEXT | same, vision_config=VISION | same, projection_dim=24)
    torch.manual_seed(0)
    model = transformers.CLIPModel(config).eval()
    for parameter in model.parameters():  # norms and biases are ones and zeros
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    return folder, write(folder, "quick_gelu")


def differences(folder, theirs):
    """Largest differences of prompts, images and patches before the last block."""
    clip = load_clip(f"local-dir:{folder}")
    prompts = ["a photo of a cat.", "sky"]
    pixels = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    tokens = clip.tokenizer(prompts)
    with torch.no_grad():
        text = theirs.text_projection(theirs.text_model(input_ids=tokens).pooler_output)
        vision = theirs.vision_model(pixels, output_hidden_states=True)
        pairs = {
            "prompts": (encode_prompts(clip, prompts), text),
            "images": (clip.model.encode_image(pixels), theirs.visual_projection(vision.pooler_output)),
            "patches": (ClipTower(clip.model.visual).trunk(pixels).x, vision.hidden_states[-2]),
        }
    return {name: float((one - other).abs().max()) for name, (one, other) in pairs.items()}


def test_parity_with_transformers(folder):
    assert max(differences(*folder).values()) < 1e-5


def test_parity_with_gelu_another_epsilon_and_several_files(tmp_path):
    theirs = write(tmp_path, "gelu", eps=1e-3)
    state = load_file(tmp_path / "model.safetensors")
    names = sorted(state)
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: state[name] for name in part}, tmp_path / f"model-{number}.safetensors")
    weights = {name: f"model-{place % 2}.safetensors" for place, name in enumerate(names)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    (tmp_path / "model.safetensors").unlink()
    assert max(differences(tmp_path, theirs).values()) < 1e-5


def test_a_file_by_itself_needs_the_folder_of_its_configuration(folder, tiny_clip):
    source, _ = folder
    file = str(source / "model.safetensors")
    assert load_clip(f"local-dir:{source}", file).fingerprint == load_clip(f"local-dir:{source}").fingerprint
    with pytest.raises(CheckpointError, match=r"activation stands in the config\.json.*local-dir:FOLDER"):
        load_clip(tiny_clip, file)


def test_what_does_not_fit_is_named(folder, tmp_path):
    source, _ = folder
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    with pytest.raises(CheckpointError, match=r"no weights in the folder.*model\.safetensors"):
        load_clip(f"local-dir:{tmp_path}")
    state = load_file(source / "model.safetensors")
    torch.save(
        {name: value for name, value in state.items() if "1.self_attn.k_proj" not in name}, tmp_path / "model.pt"
    )
    with pytest.raises(CheckpointError, match=r"4 missing \(transformer\.resblocks\.1\.attn\.in_proj_bias"):
        load_clip(f"local-dir:{tmp_path}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "siglip"}, "kind 'siglip'; SigLIP's patches are not in the space of its texts"),
        ({"model_type": "bert"}, "kind 'bert'. Dense attention needs a CLIPModel"),
        ({"text_config": {"hidden_act": "relu"}}, "activations quick_gelu and relu"),
        ({"text_config": {"vocab_size": 50}}, "50 words, expected the 49408"),
        ({"vision_config": {"num_channels": 4}}, "images of 4 channels"),
    ],
)
def test_other_models_are_refused(changes, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"} | changes))
    with pytest.raises(CheckpointError, match=message):
        load_clip(f"local-dir:{tmp_path}")


def test_what_a_configuration_leaves_out_is_the_library_s_default(tmp_path):
    transformers = pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    config, theirs = read_configuration(tmp_path), transformers.CLIPConfig()
    vision, text = theirs.vision_config, theirs.text_config
    assert config["embed_dim"] == theirs.projection_dim
    assert config["quick_gelu"] == (vision.hidden_act == text.hidden_act == "quick_gelu")
    assert config["vision_cfg"] == {
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "layers": vision.num_hidden_layers,
        "width": vision.hidden_size,
        "head_width": vision.hidden_size // vision.num_attention_heads,
        "mlp_ratio": vision.intermediate_size / vision.hidden_size,
    }
    assert config["text_cfg"] == {
        "context_length": text.max_position_embeddings,
        "vocab_size": text.vocab_size,
        "layers": text.num_hidden_layers,
        "width": text.hidden_size,
        "heads": text.num_attention_heads,
        "mlp_ratio": text.intermediate_size / text.hidden_size,
    }
