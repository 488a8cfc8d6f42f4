"""Parts that change logits, probabilities or labels: along the edges of the image, over a graph, inside regions."""

from sclip_lightning.refine.bilateral import Bilateral
from sclip_lightning.refine.densecrf import DenseCRF
from sclip_lightning.refine.lposs import LPOSS
from sclip_lightning.refine.pamr import PAMR
from sclip_lightning.refine.region_vote import RegionVote
from sclip_lightning.windows.steps import Refiner

__all__ = ["LPOSS", "PAMR", "Bilateral", "DenseCRF", "Refiner", "RegionVote"]
