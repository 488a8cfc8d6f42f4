"""Benchmarks and their data modules."""

from sclip_lightning.data.benchmark import Benchmark
from sclip_lightning.data.coco_stuff import COCOStuff
from sclip_lightning.data.datamodule import SegmentationDataModule
from sclip_lightning.data.voc import VOC20, VOC21

__all__ = ["VOC20", "VOC21", "Benchmark", "COCOStuff", "SegmentationDataModule"]
