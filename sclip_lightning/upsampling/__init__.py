"""Logits on a finer grid, guided by the image: one file an upsampler."""

from sclip_lightning.upsampling.loftup import LoftUp

__all__ = ["LoftUp"]
