"""Refinement of logits, probabilities or labels, before or after windows are merged: one file a method."""

from sclip_lightning.refine.bilateral import Bilateral
from sclip_lightning.refine.densecrf import DenseCRF
from sclip_lightning.refine.pamr import PAMR

__all__ = ["PAMR", "Bilateral", "DenseCRF"]
