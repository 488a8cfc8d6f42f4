"""PASCAL VOC 2012, with and without background."""

from sclip_lightning.data.reading.benchmark import Benchmark, read_label_table
from sclip_lightning.data.reading.layout import Listing, find_paths, list_files, read_ids
from sclip_lightning.data.reading.masks import LabelMap
from sclip_lightning.data.reading.segmentation_data import SegmentationData

__all__ = ["VOC20", "VOC21", "find_voc_val"]

_TABLE = read_label_table("voc")


class VOC21(SegmentationData):
    """PASCAL VOC 2012 val: 1449 images, 20 objects and background.

    The root is ``VOCdevkit/VOC2012``, ``VOCdevkit`` or the folder above it, as the official archive and torchvision
    unpack it. Masks are the published palette PNGs: index 0 background, 1..20 objects, 255 not scored.
    """

    published = Benchmark.from_table("VOC21", _TABLE, "voc21.txt", images=1449)

    def find_files(self, root: str) -> Listing:
        """Find the val split; stored values are train ids."""
        return find_voc_val(root, LabelMap.identity(21))


class VOC20(SegmentationData):
    """PASCAL VOC 2012 val: 1449 images, 20 objects; background is not scored.

    Files are those of ``VOC21``. Index 0 is not scored, index k is class k - 1.
    """

    published = Benchmark.from_table("VOC20", _TABLE.without_first(), "voc20.txt", images=1449, scores_boundaries=False)

    def find_files(self, root: str) -> Listing:
        """Find the val split; stored values are train ids plus 1."""
        return find_voc_val(root, LabelMap.without_zero(20))


def find_voc_val(
    root: str,
    label_map: LabelMap,
    name: str = "PASCAL VOC 2012",
    form: str = "masks as published (0 background, 1..20 objects)",
) -> Listing:
    """Find the val split of a data set in VOC's layout.

    Args:
        root: The data set's folder or the one above it.
        label_map: What the masks' indices mean.
        name: Name of the data set, for error messages.
        form: What the masks are, for reports.

    Raises:
        DataError: Folders or the list of the split are missing.
    """
    images, masks, split = find_paths(
        root,
        name,
        prefixes=("", "VOC2012", "VOCdevkit/VOC2012"),
        parts=(("JPEGImages",), ("SegmentationClass",), ("ImageSets/Segmentation/val.txt",)),
    )
    return Listing(
        ids=read_ids(split, words=True),
        images=list_files(images, ".jpg"),
        masks=list_files(masks, ".png"),
        places=(split, images, masks),
        form=form,
        label_map=label_map,
        listed=True,
    )
