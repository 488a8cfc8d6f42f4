"""Benchmarks: what each consists of, and where its files lie. Imports neither torch nor Lightning."""

from sclip_lightning.data.ade20k import ADE20K
from sclip_lightning.data.cityscapes import Cityscapes
from sclip_lightning.data.coco_object import COCOObject
from sclip_lightning.data.coco_stuff import COCOStuff, COCOStuff10k
from sclip_lightning.data.context import Context59, Context60
from sclip_lightning.data.image_folder import ImageFolder
from sclip_lightning.data.reading.segmentation_data import SegmentationData
from sclip_lightning.data.voc import VOC20, VOC21

__all__ = [
    "ADE20K",
    "VOC20",
    "VOC21",
    "COCOObject",
    "COCOStuff",
    "COCOStuff10k",
    "Cityscapes",
    "Context59",
    "Context60",
    "ImageFolder",
    "SegmentationData",
]
