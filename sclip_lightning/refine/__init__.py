"""Refinement of logits, probabilities or labels, before or after windows are merged: one file a method."""

from sclip_lightning.refine.bilateral import Bilateral
from sclip_lightning.refine.densecrf import DenseCRF
from sclip_lightning.refine.lposs import LPOSS
from sclip_lightning.refine.lposs_plus import LPOSSPlus
from sclip_lightning.refine.pamr import PAMR
from sclip_lightning.refine.region_vote import RegionVote
from sclip_lightning.refine.tlp import TLP

__all__ = ["LPOSS", "PAMR", "TLP", "Bilateral", "DenseCRF", "LPOSSPlus", "RegionVote"]
