"""Networks that images and texts pass through, and where their weights come from."""

from sclip_lightning.towers.checkpoints import Clip, load_clip
from sclip_lightning.towers.clip import ClipTower
from sclip_lightning.towers.dino import FeatureTower
from sclip_lightning.towers.dino_weights import load_features
from sclip_lightning.towers.text import build_text_bank
from sclip_lightning.towers.tower import Tower, Trunk

__all__ = ["Clip", "ClipTower", "FeatureTower", "Tower", "Trunk", "build_text_bank", "load_clip", "load_features"]
