"""Making the demo's networks again, with one command.

    python -m sclip_lightning.demo.train --out networks/

Seeded; on another machine the digits differ a little, the networks hardly.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sclip_lightning.demo.train_clip import CONFIG, draw_scenes, train_clip
from sclip_lightning.demo.train_loftup import train_loftup
from sclip_lightning.files import DEMO_NETWORKS

__all__ = ["save_networks"]


def save_networks(clip: nn.Module, loftup: nn.Module, folder: Path) -> None:
    """Write both networks, in half precision, as the demo loads them."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": CONFIG, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for network, name in ((clip, "open_clip_model.safetensors"), (loftup, "loftup.safetensors")):
        save_file(_halved(network.state_dict()), folder / name)
        (folder / name).chmod(0o644)  # safetensors lets nobody else read it


def _halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.half() if x.is_floating_point() else x for name, x in state.items()}


def main() -> None:
    """Draw scenes, train CLIP, then LoftUp on it, and write both with a note on how long it took where."""
    parser = argparse.ArgumentParser(prog="python -m sclip_lightning.demo.train", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=DEMO_NETWORKS, help="Folder for the networks.")
    parser.add_argument("--scenes", type=int, default=4000, help="Training scenes.")
    parser.add_argument("--clip-steps", type=int, default=3000, help="Batches of 128 views for CLIP.")
    parser.add_argument("--loftup-steps", type=int, default=500, help="Batches of 12 views for LoftUp.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    scenes = draw_scenes(options.scenes)
    drawn = time.perf_counter()
    clip = train_clip(scenes, options.clip_steps, options.seed)
    half = time.perf_counter()
    loftup = train_loftup(clip.visual, scenes, options.loftup_steps, options.seed)
    save_networks(clip, loftup, options.out)
    minutes = {"scenes": drawn - started, "clip": half - drawn, "loftup": time.perf_counter() - half}
    note = {
        **{name: getattr(options, name) for name in ("scenes", "clip_steps", "loftup_steps", "seed")},
        "minutes": {name: round(seconds / 60, 1) for name, seconds in minutes.items()},
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }
    (options.out / "TRAINING.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
