"""COCO-Stuff (164k), with its maps as published or converted to train ids."""

from sclip_lightning.data.benchmark import (
    CLASS_FOLDER,
    Benchmark,
    ClassNames,
    Protocol,
    ResclipSettings,
    read_label_table,
)
from sclip_lightning.data.datamodule import SegmentationDataModule
from sclip_lightning.data.layout import SampleFiles, find_paths, list_files, pair_files
from sclip_lightning.data.masks import IGNORE_INDEX, LabelMap

__all__ = ["COCOStuff"]

_TABLE = read_label_table("coco_stuff")


class COCOStuff(SegmentationDataModule):
    """COCO-Stuff val2017: 5000 images, 80 things and 91 stuff classes, in the order of their file names.

    The root holds ``images/val2017`` or ``val2017``, and ``annotations/val2017`` or ``stuffthingmaps/val2017``; the
    folder above it works where the root is called ``coco_stuff164k`` or ``coco``. Maps are read as published
    (``*.png``, COCO id - 1) or converted (``*_labelTrainIds.png``, 0..170). Conversion scripts leave both in one
    folder, where the published maps are taken: they mean the same.
    """

    published = Benchmark(
        name="COCOStuff",
        classes=_TABLE.names,
        palette=_TABLE.palette,
        prompts=ClassNames.load(CLASS_FOLDER / "coco_stuff.txt"),
        protocols={"sclip": Protocol(short_side=448), "resclip": Protocol(short_side=336)},
        resclip=ResclipSettings(rcs=(2.0, 0.4), sfr=(1.8, 0.7), sfr_threshold=0.11),
    )

    def find_samples(self, root: str) -> tuple[list[SampleFiles], LabelMap]:
        """Find all images and maps; every image needs a map and every map an image."""
        images_folder, masks_folder = find_paths(
            root,
            "COCO-Stuff val2017",
            prefixes=("", "coco_stuff164k", "coco"),
            parts=(("images/val2017", "val2017"), ("annotations/val2017", "stuffthingmaps/val2017")),
        )
        images = list_files(images_folder, ".jpg")
        masks = {name: path for name, path in list_files(masks_folder, ".png").items() if "TrainIds" not in name}
        label_map = LabelMap({value: label for label, value in enumerate(_TABLE.values)} | {IGNORE_INDEX: IGNORE_INDEX})
        if not masks:
            masks = list_files(masks_folder, "_labelTrainIds.png")
            label_map = LabelMap.identity(len(_TABLE.names))
        return pair_files(sorted({*images, *masks}), images, masks, (images_folder, masks_folder)), label_map
