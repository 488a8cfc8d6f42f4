"""COCO-Object: the 80 things of COCO against background, from COCO-Stuff's maps or from converted ones."""

from sclip_lightning.data.coco_stuff import find_val2017
from sclip_lightning.data.reading.benchmark import Benchmark, ClassNames, read_label_table, voc_colours
from sclip_lightning.data.reading.layout import Listing
from sclip_lightning.data.reading.masks import IGNORE_INDEX, LabelMap
from sclip_lightning.data.reading.segmentation_data import SegmentationData

__all__ = ["COCOObject"]

_THINGS = 80
_TABLE = read_label_table("coco_stuff")


class COCOObject(SegmentationData):
    """COCO val2017: 5000 images, 80 things and background.

    Files are those of ``COCOStuff``, read as published: a thing is its train id plus 1, all else (stuff, and 255, which
    is unlabelled) is background, so that every pixel is scored. Maps converted to ``*_instanceTrainIds.png`` (0..80)
    work too.
    """

    published = Benchmark(
        name="COCOObject",
        classes=("background", *_TABLE.names[:_THINGS]),
        # mmseg has no colours for it; COCO-Stuff's repeat themselves and leave none for background.
        palette=voc_colours(1 + _THINGS),
        prompts=ClassNames.shipped("coco_object.txt"),
        images=5000,
    )

    def find_files(self, root: str) -> Listing:
        """Find all images and maps."""
        things = {value: label + 1 for label, value in enumerate(_TABLE.values[:_THINGS])}
        rest = dict.fromkeys((*_TABLE.values[_THINGS:], IGNORE_INDEX), 0)
        converted = LabelMap({label: label for label in range(1 + _THINGS)})
        return find_val2017(root, LabelMap(things | rest), "_instanceTrainIds.png", converted)
