"""CLIP models as the library transformers saves them: their configuration and their names, in open_clip's terms.

Nothing of transformers is imported. Queries, keys and values have a matrix each there and lie in one here; projections
are stored the other way round.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sclip_lightning.errors import CheckpointError

__all__ = ["converted", "is_transformers_folder", "is_transformers_state", "read_configuration", "shards_of"]

#: What ``CLIPConfig`` leaves out of its file where it has these values.
_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_channels": 3,
}
_TEXT = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_PROJECTION = 512
#: Words that CLIP's tokenizer knows.
_VOCABULARY = 49408

_NAMES = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "logit_scale": "logit_scale",
}
_TURNED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
_NORMS = {
    "vision_model.pre_layrnorm": "visual.ln_pre",  # so spelled there
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.final_layer_norm": "ln_final",
}
_BLOCK = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_TOWERS = {"vision": "visual.transformer.resblocks", "text": "transformer.resblocks"}
_IN_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def is_transformers_folder(folder: Path) -> bool:
    """Whether a folder holds a model of transformers and none of open_clip."""
    return (folder / "config.json").is_file() and not (folder / "open_clip_config.json").is_file()


def is_transformers_state(state: Mapping[str, Any]) -> bool:
    """Whether parameters have the names that transformers gives them."""
    return any(name.startswith(("vision_model.", "text_model.")) for name in state)


def read_configuration(folder: Path) -> dict[str, Any]:
    """Open_clip's configuration of the model in a folder.

    Raises:
        CheckpointError: The folder holds no CLIP, or one that open_clip has no configuration for.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = content.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        msg = f"{path} cannot be read as the configuration of a model of transformers ({error}). Is the file complete?"
        raise CheckpointError(msg) from error
    if kind != "clip":
        why = "; SigLIP's patches are not in the space of its texts" if "siglip" in str(kind) else ""
        msg = (
            f"{path} describes a model of the kind {kind!r}{why}. Dense attention needs a CLIPModel (model_type clip) "
            "of transformers, or a model of open_clip."
        )
        raise CheckpointError(msg)
    vision = _VISION | (content.get("vision_config") or {})
    text = _TEXT | (content.get("text_config") or {})
    activations = {vision["hidden_act"], text["hidden_act"]}
    problems = []
    if len(activations) > 1 or not activations <= {"gelu", "quick_gelu"}:
        problems.append(
            f"the activations {' and '.join(sorted(activations))}, expected gelu or quick_gelu in both towers"
        )
    if text["vocab_size"] != _VOCABULARY:
        problems.append(f"{text['vocab_size']} words, expected the {_VOCABULARY} of CLIP's tokenizer")
    if vision["num_channels"] != 3:
        problems.append(f"images of {vision['num_channels']} channels, expected 3")
    if problems:
        raise CheckpointError(f"{path} describes a CLIP with {'; '.join(problems)}: it cannot be used here.")
    return {
        "embed_dim": content.get("projection_dim", _PROJECTION),
        "quick_gelu": activations == {"quick_gelu"},
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            **_common(vision),
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "layers": text["num_hidden_layers"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            **_common(text),
        },
    }


def shards_of(folder: Path) -> list[Path]:
    """The files that a large checkpoint is shared among; none where it is one file."""
    for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / name).is_file():
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            return [folder / file for file in sorted({*content["weight_map"].values()})]
    return []


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters under open_clip's names; names that are unknown stay, for whoever loads them to complain about."""
    result: dict[str, Tensor] = {}
    packed: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        module, _, kind = name.rpartition(".")
        if name.endswith("embeddings.position_ids"):
            continue  # a buffer of older versions: 0, 1, 2, ...
        if name in _TURNED:
            result[_TURNED[name]] = value.T.contiguous()
        elif module in _NORMS:
            result[f"{_NORMS[module]}.{kind}"] = value
        elif block := _BLOCK.fullmatch(name):
            place = f"{_TOWERS[block[1]]}.{block[2]}"
            if block[3] in _IN_BLOCK:
                result[f"{place}.{_IN_BLOCK[block[3]]}.{kind}"] = value
            else:
                packed.setdefault(f"{place}.attn.in_proj_{kind}", {})[block[3]] = value
        else:
            result[_NAMES.get(name, name)] = value
    parts = [f"self_attn.{letter}_proj" for letter in "qkv"]
    for name, values in packed.items():
        if values.keys() == {*parts}:
            result[name] = torch.cat([values[part] for part in parts])
    return result


def _common(tower: Mapping[str, Any]) -> dict[str, Any]:
    """What both towers have: the width of the MLP, and the number that its norms are kept from zero by."""
    width, inner, eps = tower["hidden_size"], tower["intermediate_size"], tower["layer_norm_eps"]
    ratio = inner / width
    if int(width * ratio) != inner:
        ratio = (inner + 0.5) / width  # open_clip rounds down
    return {"mlp_ratio": ratio} | ({} if eps == _TEXT["layer_norm_eps"] else {"norm_kwargs": {"eps": eps}})
