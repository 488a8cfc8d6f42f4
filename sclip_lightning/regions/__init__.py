"""Segment maps of folders of images, for parts that read one: who makes them, and the work over many images."""

from sclip_lightning.regions.maker import RegionMaker
from sclip_lightning.regions.overlapping import PaintOrder, painted
from sclip_lightning.regions.sam import SAM
from sclip_lightning.regions.superpixels import SLIC, Felzenszwalb

__all__ = ["SAM", "SLIC", "Felzenszwalb", "PaintOrder", "RegionMaker", "painted"]
