"""PASCAL Context, with and without background, with masks as published or converted."""

from sclip_lightning.data.reading.benchmark import Benchmark, read_label_table
from sclip_lightning.data.reading.layout import Listing, find_paths, list_files, read_ids
from sclip_lightning.data.reading.masks import IGNORE_INDEX, LabelMap
from sclip_lightning.data.reading.segmentation_data import SegmentationData

__all__ = ["Context59", "Context60"]

_TABLE = read_label_table("context")
_SCORED = _TABLE.without_first()

#: The published masks hold one of 459 categories per pixel; 59 of them are scored.
_CATEGORIES = 459


class Context60(SegmentationData):
    """PASCAL Context val: 5105 images of VOC 2010, 59 classes and background.

    The root is ``VOCdevkit/VOC2010``, ``VOCdevkit`` or the folder above it. It holds ``JPEGImages`` and either
    converted masks, ``SegmentationClassContext/*.png`` (0 background, 1..59) with the list
    ``ImageSets/SegmentationContext/val.txt``, or the published ones, ``trainval/*.mat`` (459 categories; those that are
    not scored are background) with VOC 2010's own ``ImageSets/Main/val.txt``. Where both are there the converted ones
    are taken: published figures were computed on them, and they come from a later release (PASCAL in Detail), so that
    single pixels may differ.
    """

    published = Benchmark.from_table("Context60", _TABLE, "context60.txt", images=5105)

    def find_files(self, root: str) -> Listing:
        """Find the val split; background is train id 0."""
        return _find_val(root, range(len(_TABLE.names)))


class Context59(SegmentationData):
    """PASCAL Context val: 5105 images of VOC 2010, 59 classes; background is not scored.

    Files are those of ``Context60``.
    """

    published = Benchmark.from_table("Context59", _SCORED, "context59.txt", images=5105, scores_boundaries=False)

    def find_files(self, root: str) -> Listing:
        """Find the val split; background is ignored."""
        return _find_val(root, (IGNORE_INDEX, *range(len(_TABLE.names) - 1)))


def _find_val(root: str, train_ids: range | tuple[int, ...]) -> Listing:
    """Find the val split, given the train ids of background and the 59 classes."""
    images, masks, split = find_paths(
        root,
        "PASCAL Context",
        prefixes=("", "VOC2010", "VOCdevkit/VOC2010"),
        parts=(
            ("JPEGImages",),
            ("SegmentationClassContext", "trainval"),
            ("ImageSets/SegmentationContext/val.txt", "ImageSets/Main/val.txt"),
        ),
    )
    if masks.name == "trainval":
        scored = dict(zip(_TABLE.values, train_ids, strict=True))
        label_map = LabelMap(dict.fromkeys(range(_CATEGORIES + 1), train_ids[0]) | scored)
        suffix, form = ".mat", "masks as published (*.mat, 459 categories)"
    else:
        label_map = LabelMap(dict(enumerate(train_ids)) | {IGNORE_INDEX: IGNORE_INDEX})
        suffix, form = ".png", "masks converted to 0 background, 1..59 (*.png)"
    return Listing(
        ids=read_ids(split, words=True),
        images=list_files(images, ".jpg"),
        masks=list_files(masks, suffix),
        places=(split, images, masks),
        form=form,
        label_map=label_map,
        listed=True,
    )
