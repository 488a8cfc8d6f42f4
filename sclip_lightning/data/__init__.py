"""Benchmarks: what each consists of, where its files lie, and the data module that serves it.

The data modules need Lightning; they are imported when first used, so that classes and files need it not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sclip_lightning.data.ade20k import ADE20K
    from sclip_lightning.data.cityscapes import Cityscapes
    from sclip_lightning.data.coco_object import COCOObject
    from sclip_lightning.data.coco_stuff import COCOStuff, COCOStuff10k
    from sclip_lightning.data.context import Context59, Context60
    from sclip_lightning.data.image_folder import ImageFolder
    from sclip_lightning.data.reading.datamodule import SegmentationDataModule
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
    "SegmentationDataModule",
]

_MODULES = ("ade20k", "cityscapes", "coco_object", "coco_stuff", "context", "image_folder", "voc", "reading.datamodule")


def __getattr__(name: str) -> Any:
    """Import the data modules when one is first asked for."""
    if name in __all__:
        for module in _MODULES:
            home = import_module(f"{__name__}.{module}")
            globals().update({key: getattr(home, key) for key in home.__all__ if key in __all__})
        return globals()[name]
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
