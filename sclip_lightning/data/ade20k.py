"""ADE20K with the 150 classes of the scene parsing benchmark."""

from sclip_lightning.data.reading.benchmark import Benchmark, read_label_table
from sclip_lightning.data.reading.layout import Listing, find_paths, list_files
from sclip_lightning.data.reading.masks import LabelMap
from sclip_lightning.data.reading.segmentation_data import SegmentationData

__all__ = ["ADE20K"]

_TABLE = read_label_table("ade20k")


class ADE20K(SegmentationData):
    """ADE20K validation: 2000 images, 150 classes, in the order of their file names.

    The root is ``ADEChallengeData2016`` as published or the folder above it, and holds ``images/validation`` and
    ``annotations/validation``. Masks store train ids plus 1; 0, anything else, is not scored.
    """

    published = Benchmark.from_table("ADE20K", _TABLE, "ade20k.txt", images=2000)

    def find_files(self, root: str) -> Listing:
        """Find all images and masks of the validation split."""
        places = find_paths(
            root,
            "ADE20K (ADEChallengeData2016)",
            ("", "ADEChallengeData2016", "ade/ADEChallengeData2016"),
            (("images/validation",), ("annotations/validation",)),
        )
        images, masks = list_files(places[0], ".jpg"), list_files(places[1], ".png")
        label_map = LabelMap.without_zero(len(_TABLE.names))
        form = "masks as published (0 is not scored, 1..150)"
        return Listing(sorted({*images, *masks}), images, masks, places, form, label_map)
