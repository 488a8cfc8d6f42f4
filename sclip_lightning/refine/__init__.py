"""Refinement of logits, probabilities or labels, before or after windows are merged: one file a method."""

from sclip_lightning.refine.bilateral import Bilateral
from sclip_lightning.refine.densecrf import DenseCRF
from sclip_lightning.refine.lposs import LPOSS
from sclip_lightning.refine.pamr import PAMR
from sclip_lightning.refine.region_vote import RegionVote

__all__ = ["LPOSS", "PAMR", "Bilateral", "DenseCRF", "RegionVote"]
