"""Small CLIP models: random ones that tests write to disk or run, and those of recorded weights."""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file
from torch import Tensor

#: Real tokenizer, ten layers for residual attention, tiny everything else; 4 x 4 patches of 16 pixels.
TINY = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 10, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
#: Channels of an attention head in every CLIP ViT, recorded ones included.
HEAD_WIDTH = 64


def build(config: dict) -> CLIP:
    """An open_clip model of a configuration like ``TINY``, in eval mode."""
    vision, text = CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"])
    return CLIP(config["embed_dim"], vision, text, quick_gelu=config["quick_gelu"]).eval()


def write_tiny_clip(folder: Path, seed: int = 0, config: dict[str, Any] = TINY) -> str:
    """Write a tiny CLIP with seeded weights; returns the name that ``--model.architecture`` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(seed)
    save_file(build(config).state_dict(), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def layers(state: dict[str, Tensor], blocks: str) -> int:
    """Number of transformer blocks in a state dict, ``blocks`` being the prefix of their keys."""
    return 1 + max(int(key.removeprefix(blocks).split(".")[0]) for key in state if key.startswith(blocks))


def from_state(state: dict[str, Tensor], heads: int | None = None, quick_gelu: bool = True) -> CLIP:
    """The model of an OpenAI-named state dict, sizes taken from its shapes.

    Args:
        state: ``visual.*`` and, where the text tower was recorded, everything else too.
        heads: Attention heads of the vision tower; 64 channels each by default.
        quick_gelu: Whether its activation is OpenAI's.
    """
    patches, embed_dim = state["visual.conv1.weight"], state["visual.proj"].shape[1]
    width, patch = patches.shape[0], patches.shape[-1]
    side = math.isqrt(len(state["visual.positional_embedding"]) - 1)
    config = TINY | {
        "embed_dim": embed_dim,
        "quick_gelu": quick_gelu,
        "vision_cfg": {
            "image_size": side * patch,
            "layers": layers(state, "visual.transformer.resblocks."),
            "width": width,
            "head_width": width // heads if heads else HEAD_WIDTH,
            "patch_size": patch,
        },
    }
    if "token_embedding.weight" not in state:
        model = build(config)
        model.visual.load_state_dict({key.removeprefix("visual."): value for key, value in state.items()})
        return model
    vocabulary, text_width = state["token_embedding.weight"].shape
    config["text_cfg"] = {
        "context_length": len(state["positional_embedding"]),
        "vocab_size": vocabulary,
        "width": text_width,
        "heads": text_width // HEAD_WIDTH,
        "layers": layers(state, "transformer.resblocks."),
    }
    model = build(config)
    model.load_state_dict(state)
    return model


@dataclass(frozen=True)
class Example:
    """A model, an image and names, for tests that compare two computations of this package.

    Attributes:
        model: CLIP with ten blocks, 14 x 14 patches and 64 dimensions.
        image: [1, 3, 336, 448] normalised, smooth.
        queries: [8, 64] unit vectors, each the feature of a patch, so that several labels occur.
        classes: [8] int64, the class of each query; 5 classes.
    """

    model: CLIP
    image: Tensor
    queries: Tensor
    classes: Tensor


@cache
def example(seed: int = 0) -> Example:
    """The seeded example, the same one for all, who change nothing of it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vision = {"image_size": 224, "layers": 12, "width": 128, "head_width": 64, "patch_size": 16}
        model = build(TINY | {"embed_dim": 64, "vision_cfg": vision})
        for name, weight in model.visual.named_parameters():
            if "attn.in_proj_weight" in name:  # as drawn, attention is nearly even and its variants hardly differ
                torch.nn.init.normal_(weight, std=0.12)
        image = F.interpolate(torch.randn(1, 3, 12, 16), (336, 448), mode="bicubic")
        with torch.no_grad():
            visual = model.visual
            x = visual.ln_pre(visual.conv1(image).flatten(2).mT)
            x = visual.ln_post(visual.transformer(x)) @ visual.proj
        patches = F.normalize(x[0] - x[0].mean(dim=0), dim=-1)
        queries = patches[torch.randperm(len(patches))[:8]]
    return Example(model, image, queries, torch.tensor([0, 0, 1, 2, 2, 3, 4, 4]))
