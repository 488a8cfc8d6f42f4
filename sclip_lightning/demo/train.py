"""Making the demo's networks again, with one command.

    python -m sclip_lightning.demo.train --out networks/
    python -m sclip_lightning.demo.train --out networks/ --only features

Seeded; on another machine the digits differ a little, the networks hardly.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sclip_lightning.demo.scenes import Scene
from sclip_lightning.demo.train_clip import CONFIG, draw_scenes, train_clip
from sclip_lightning.demo.train_features import CONFIG as FEATURES
from sclip_lightning.demo.train_features import train_features
from sclip_lightning.demo.train_loftup import train_loftup
from sclip_lightning.files import DEMO_FEATURES, DEMO_NETWORKS

__all__ = ["save_features", "save_networks"]

#: Training scenes of the second network, the first of CLIP's: a few minutes show no more of them often enough.
FEATURE_SCENES = 1000


def save_networks(clip: nn.Module, loftup: nn.Module, folder: Path) -> None:
    """Write CLIP and LoftUp, in half precision, as the demo loads them."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json({"model_cfg": CONFIG, "preprocess_cfg": {}}, folder / "open_clip_config.json")
    _save(clip, folder / "open_clip_model.safetensors")
    _save(loftup, folder / "loftup.safetensors")


def save_features(network: nn.Module, folder: Path) -> None:
    """The same for the second network, as timm has it; a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(FEATURES, folder / "config.json")
    _save(network, folder / "model.safetensors")


def _save(network: nn.Module, path: Path) -> None:
    save_file(_halved(network.state_dict()), path)
    path.chmod(0o644)  # safetensors lets nobody else read it


def _write_json(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.half() if x.is_floating_point() else x for name, x in state.items()}


def main() -> None:
    """Draw scenes, train CLIP, LoftUp on it, and the second network; write them with notes on how long that took."""
    parser = argparse.ArgumentParser(prog="python -m sclip_lightning.demo.train", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=DEMO_NETWORKS, help="Folder for the networks.")
    parser.add_argument("--only", choices=("clip", "features"), help="CLIP and LoftUp alone, or the second network.")
    parser.add_argument("--scenes", type=int, default=4000, help="Training scenes.")
    parser.add_argument("--clip-steps", type=int, default=3000, help="Batches of 128 views for CLIP.")
    parser.add_argument("--loftup-steps", type=int, default=500, help="Batches of 12 views for LoftUp.")
    parser.add_argument("--feature-steps", type=int, default=300, help="Batches of 32 views for the second network.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    few = min(options.scenes, FEATURE_SCENES)
    scenes = draw_scenes(few if options.only == "features" else options.scenes)
    drawn = (time.perf_counter() - started) / 60
    if options.only != "features":
        _make_clip_and_loftup(scenes, drawn, options)
    if options.only != "clip":
        _make_features(scenes[:few], drawn, options)


def _make_clip_and_loftup(scenes: list[Scene], drawn: float, options: argparse.Namespace) -> None:
    started = time.perf_counter()
    clip = train_clip(scenes, options.clip_steps, options.seed)
    half = time.perf_counter()
    loftup = train_loftup(clip.visual, scenes, options.loftup_steps, options.seed)
    minutes = {"scenes": drawn, "clip": (half - started) / 60, "loftup": (time.perf_counter() - half) / 60}
    save_networks(clip, loftup, options.out)
    steps = {"clip_steps": options.clip_steps, "loftup_steps": options.loftup_steps}
    _write_note({"scenes": len(scenes), **steps, "seed": options.seed}, minutes, options.out)


def _make_features(scenes: list[Scene], drawn: float, options: argparse.Namespace) -> None:
    started = time.perf_counter()
    network = train_features(scenes, options.feature_steps, options.seed)
    minutes = {"scenes": drawn, "features": (time.perf_counter() - started) / 60}
    folder = options.out / DEMO_FEATURES.name
    save_features(network, folder)
    _write_note({"scenes": len(scenes), "steps": options.feature_steps, "seed": options.seed}, minutes, folder)


def _write_note(settings: dict[str, int], minutes: dict[str, float], folder: Path) -> None:
    """How a network was made; minutes of drawing are those of all scenes that were drawn."""
    note = {
        **settings,
        "minutes": {name: round(value, 1) for name, value in minutes.items()},
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }
    _write_json(note, folder / "TRAINING.json")


if __name__ == "__main__":
    main()
