"""Cityscapes, with fine annotations as published or converted to train ids."""

import os
from pathlib import Path

from sclip_lightning.data.reading.benchmark import Benchmark, read_label_table
from sclip_lightning.data.reading.layout import Listing, find_paths, list_files
from sclip_lightning.data.reading.masks import IGNORE_INDEX, LabelMap
from sclip_lightning.data.reading.segmentation_data import SegmentationData

__all__ = ["Cityscapes"]

_TABLE = read_label_table("cityscapes")

#: Ids of the publisher's label list, of which 19 are scored. Licence plates, -1, are drawn into no mask.
_IDS = range(34)


class Cityscapes(SegmentationData):
    """Cityscapes val: 500 street scenes of 2048 x 1024 pixels, 19 classes, in the order of their file names.

    The root holds ``leftImg8bit/val/<city>/*_leftImg8bit.png`` and ``gtFine/val/<city>``; the folder above it works
    where the root is called ``cityscapes``. Masks are read as published (``*_gtFine_labelIds.png``) or converted
    (``*_gtFine_labelTrainIds.png``). The publisher's scripts leave both in one folder, where the published masks are
    taken: they mean the same. An image's id is what comes before ``_leftImg8bit``.
    """

    published = Benchmark.from_table("Cityscapes", _TABLE, "cityscapes.txt", images=500)

    def find_files(self, root: str) -> Listing:
        """Find the frames of all cities."""
        images_folder, masks_folder = find_paths(
            root, "Cityscapes val", ("", "cityscapes"), (("leftImg8bit/val",), ("gtFine/val",))
        )
        images = _list_cities(images_folder, "_leftImg8bit.png")
        masks = _list_cities(masks_folder, "_gtFine_labelIds.png")
        scored = {value: label for label, value in enumerate(_TABLE.values)}
        form = "masks as published (*_labelIds.png)"
        label_map = LabelMap(dict.fromkeys((*_IDS, IGNORE_INDEX), IGNORE_INDEX) | scored)
        if not masks:
            masks = _list_cities(masks_folder, "_gtFine_labelTrainIds.png")
            form, label_map = "masks converted to train ids (*_labelTrainIds.png)", LabelMap.identity(len(_TABLE.names))
        return Listing(sorted({*images, *masks}), images, masks, (images_folder, masks_folder), form, label_map)


def _list_cities(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of all cities, whose names begin with the city's and are therefore distinct."""
    with os.scandir(folder) as entries:
        cities = sorted(entry.name for entry in entries if entry.is_dir())
    return {name: path for city in cities for name, path in list_files(folder / city, suffix).items()}
