"""Where the demo's trained networks lie. Imports nothing heavy."""

from pathlib import Path

__all__ = ["CLIP_FOLDER", "DEMO", "LOFTUP_FILE"]

#: The word that options take: ``architecture: demo``, ``weights: demo``, ``loftup_weights: demo``.
DEMO = "demo"

#: open_clip_config.json and open_clip_model.safetensors, as open_clip's ``local-dir:`` wants them.
CLIP_FOLDER = Path(__file__).parent / "networks"

#: In the layout of LoftUp's own ``pytorch_model.bin``.
LOFTUP_FILE = CLIP_FOLDER / "loftup.safetensors"
