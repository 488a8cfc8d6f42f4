"""Small CLIP models that tests write to disk or load goldens into."""

import json
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

GOLDENS = Path(__file__).parent / "goldens"

#: Real tokenizer, ten layers for residual attention, tiny everything else; 4 x 4 patches of 16 pixels.
TINY = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 10, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def build(config: dict) -> CLIP:
    """An open_clip model of a configuration like ``TINY``, in eval mode."""
    vision, text = CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"])
    return CLIP(config["embed_dim"], vision, text, quick_gelu=config["quick_gelu"]).eval()


def write_tiny_clip(folder: Path, seed: int = 0) -> str:
    """Write a tiny CLIP with seeded weights; returns the name that ``--model.architecture`` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    torch.manual_seed(seed)
    torch.save(build(TINY).state_dict(), folder / "open_clip_pytorch_model.bin")
    return f"local-dir:{folder}"


def sclip_golden() -> tuple[CLIP, dict[str, np.ndarray]]:
    """The model of ``sclip_A.npz`` (its text tower is not recorded) and the recorded arrays."""
    golden = dict(np.load(GOLDENS / "sclip_A.npz", allow_pickle=False))
    config = TINY | {
        "embed_dim": int(golden["config/embed"]),
        "vision_cfg": {
            "image_size": 224,
            "layers": int(golden["config/layers"]),
            "width": int(golden["config/width"]),
            "head_width": 64,
            "patch_size": int(golden["config/patch"]),
        },
    }
    model = build(config)
    prefix = "state/visual."
    state = {name.removeprefix(prefix): torch.from_numpy(a) for name, a in golden.items() if name.startswith(prefix)}
    model.visual.load_state_dict(state)
    return model, golden


def resclip_golden() -> tuple[CLIP, dict[str, np.ndarray]]:
    """The whole model of ``resclip_A.npz`` and the recorded arrays."""
    golden = dict(np.load(GOLDENS / "resclip_A.npz", allow_pickle=False))
    model = build(
        {
            "embed_dim": 64,
            "quick_gelu": True,
            "vision_cfg": {"image_size": 224, "layers": 12, "width": 128, "head_width": 64, "patch_size": 16},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
        }
    )
    state = {
        name.removeprefix("sd/"): torch.from_numpy(array).float()
        for name, array in golden.items()
        if name.startswith("sd/") and "token_embedding" not in name
    }
    embedding = torch.zeros(49408, 64)  # only the rows that occur are recorded
    embedding[golden["sd/token_embedding.ids"]] = torch.from_numpy(golden["sd/token_embedding.rows"]).float()
    model.load_state_dict(state | {"token_embedding.weight": embedding})
    return model, golden
