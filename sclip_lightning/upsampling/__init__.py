"""Logits on a finer grid: one file an upsampler."""

from sclip_lightning.upsampling.anyup import AnyUp
from sclip_lightning.upsampling.loftup import LoftUp
from sclip_lightning.upsampling.naf import NAF
from sclip_lightning.upsampling.resized import ResizedFeatures

__all__ = ["NAF", "AnyUp", "LoftUp", "ResizedFeatures"]
