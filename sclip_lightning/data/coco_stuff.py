"""COCO-Stuff, 164k and 10k, with maps as published or converted to train ids."""

from sclip_lightning.data.reading.benchmark import Benchmark, read_label_table
from sclip_lightning.data.reading.layout import Listing, find_paths, list_files, read_ids
from sclip_lightning.data.reading.masks import IGNORE_INDEX, LabelMap
from sclip_lightning.data.reading.segmentation_data import SegmentationData

__all__ = ["COCOStuff", "COCOStuff10k", "find_val2017"]

_TABLE = read_label_table("coco_stuff")


class COCOStuff(SegmentationData):
    """COCO-Stuff val2017: 5000 images, 80 things and 91 stuff classes, in the order of their file names.

    The root holds ``images/val2017`` or ``val2017``, and ``annotations/val2017`` or ``stuffthingmaps/val2017``; the
    folder above it works where the root is called ``coco_stuff164k`` or ``coco``. Maps are read as published
    (``*.png``, COCO id - 1) or converted (``*_labelTrainIds.png``, 0..170). Conversion scripts leave both in one
    folder, where the published maps are taken: they mean the same.
    """

    published = Benchmark.from_table("COCOStuff", _TABLE, "coco_stuff.txt", images=5000)

    def find_files(self, root: str) -> Listing:
        """Find all images and maps."""
        raw = LabelMap({value: label for label, value in enumerate(_TABLE.values)} | {IGNORE_INDEX: IGNORE_INDEX})
        converted = LabelMap.identity(len(_TABLE.names))
        return find_val2017(root, raw, "_labelTrainIds.png", converted)


class COCOStuff10k(SegmentationData):
    """COCO-Stuff 10k, test split: 1000 images of COCO train2014, with the classes of ``COCOStuff``.

    The root is as published (``images``, ``annotations`` with MATLAB files that store COCO ids, and
    ``imageLists/test.txt``) or converted (``images/test2014`` and ``annotations/test2014``, ``*_labelTrainIds.png``
    with train ids plus 1); the folder above it works where the root is called ``cocostuff-10k-v1.1`` or
    ``coco_stuff10k``. 0 is not scored in either.
    """

    published = Benchmark.from_table("COCOStuff10k", _TABLE, "coco_stuff.txt", images=1000)

    def find_files(self, root: str) -> Listing:
        """Find the test split, as published or converted."""
        dataset, prefixes = "COCO-Stuff 10k test", ("", "cocostuff-10k-v1.1", "coco_stuff10k")
        images, masks, split = find_paths(
            root, dataset, prefixes, (("images",), ("annotations",), ("imageLists/test.txt", "images/test2014"))
        )
        maps = list_files(masks, ".mat")
        if maps and split.is_file():
            # The table of values is that of the 164k, which stores each COCO id less 1.
            published = {value + 1: label for label, value in enumerate(_TABLE.values)}
            return Listing(
                ids=read_ids(split, words=True),
                images=list_files(images, ".jpg"),
                masks=maps,
                places=(split, images, masks),
                form="maps as published (*.mat, COCO ids)",
                label_map=LabelMap({0: IGNORE_INDEX, **published}),
                listed=True,
            )
        places = find_paths(root, dataset, prefixes, (("images/test2014",), ("annotations/test2014",)))
        found, maps = list_files(places[0], ".jpg"), list_files(places[1], "_labelTrainIds.png")
        return Listing(
            ids=sorted({*found, *maps}),
            images=found,
            masks=maps,
            places=places,
            form="maps converted to train ids plus 1 (*_labelTrainIds.png)",
            label_map=LabelMap.without_zero(len(_TABLE.names)),
        )


def find_val2017(root: str, raw: LabelMap, suffix: str, converted: LabelMap) -> Listing:
    """Find COCO's val2017 with the maps of COCO-Stuff, or with maps converted from them.

    Args:
        root: The data set's folder or the one above it.
        raw: What the values of the published maps mean.
        suffix: How the names of converted maps end; they are taken where there are no published ones.
        converted: What the values of the converted maps mean.
    """
    images_folder, masks_folder = find_paths(
        root,
        "COCO val2017 with the maps of COCO-Stuff",
        prefixes=("", "coco_stuff164k", "coco"),
        parts=(("images/val2017", "val2017"), ("annotations/val2017", "stuffthingmaps/val2017")),
    )
    images = list_files(images_folder, ".jpg")
    masks = {name: path for name, path in list_files(masks_folder, ".png").items() if "TrainIds" not in name}
    form, label_map = "maps as published (COCO id - 1)", raw
    if not masks:
        masks = list_files(masks_folder, suffix)
        form, label_map = f"converted maps (*{suffix})", converted
    ids = sorted({*images, *masks})
    return Listing(ids, images, masks, (images_folder, masks_folder), form, label_map)
