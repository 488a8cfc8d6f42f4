"""Refinement of logits or probabilities along the edges of the image."""

from sclip_lightning.refine.base import Refiner
from sclip_lightning.refine.bilateral import Bilateral
from sclip_lightning.refine.densecrf import DenseCRF
from sclip_lightning.refine.pamr import PAMR

__all__ = ["PAMR", "Bilateral", "DenseCRF", "Refiner"]
