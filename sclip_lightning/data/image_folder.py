"""Own data: a folder of images, a folder of index masks, and a class file."""

from pathlib import Path
from typing import Any

from sclip_lightning.data.reading.benchmark import Benchmark, ClassNames, Protocol, voc_colours
from sclip_lightning.data.reading.layout import Listing, check_name, expand, list_files, read_ids
from sclip_lightning.data.reading.masks import IGNORE_INDEX, LabelMap
from sclip_lightning.data.reading.segmentation_data import SegmentationData
from sclip_lightning.errors import DataError

__all__ = ["ImageFolder"]

#: File name endings that count as images, in lower case.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class ImageFolder(SegmentationData):
    """Your own images with ground truth: ``images/NAME.jpg`` (or png, bmp, tif, webp) and ``masks/NAME.png``.

    Masks store class indices in the order of the class file, and 255 for what is not scored. Nobody published a
    protocol for your data: it is that of the benchmarks without background (short side 336, windows of 224 every 112
    pixels, logit scale 40, no thresholds), and ResCLIP's settings are those for COCO-Stuff. Where the first class is
    background, name it by what it consists of ("sky, wall, road, ...") and try ``--model.prob_threshold 0.1``, as
    SCLIP's authors do.

    Args:
        images: Folder of the images; relative to ``root``.
        masks: Folder of the masks; relative to ``root``.
        mask_suffix: What a mask's file name has in place of its image's suffix.
        split: A text file, relative to ``root``, with the name (without suffix) of one sample per line, spaces within
            it included; null takes every file of both folders, in the order of their names.
        zero_is_void: Masks store 0 for what is not scored and class indices plus 1 (255, too, is not scored, unless it
            is the last of 255 classes).
        options: ``root``, ``classes`` (required) and the other options of every benchmark.

    Raises:
        DataError: There is no class file, it cannot be used, or it has more than 255 classes.
    """

    choosing = ("images", "masks", "mask_suffix", "split", "zero_is_void")

    def __init__(
        self,
        images: str = "images",
        masks: str = "masks",
        mask_suffix: str = ".png",
        split: str | None = None,
        zero_is_void: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.images = images
        self.masks = masks
        self.mask_suffix = mask_suffix
        self.split = split
        self.zero_is_void = zero_is_void

    def describe(self, classes: str | list[str] | None) -> Benchmark:
        """A benchmark of the given classes, each called by its first name."""
        if classes is None:
            msg = (
                "--data.classes is not given, but ImageFolder has no classes of its own. Give a text file with one "
                "class per line, in the order of the indices that the masks store, synonyms split by commas."
            )
            raise DataError(msg)
        prompts = ClassNames.load(classes)
        if len(prompts.synonyms) > IGNORE_INDEX:
            msg = (
                f"--data.classes: {prompts.source} names {len(prompts.synonyms)} classes, but at most {IGNORE_INDEX} "
                "can be scored: labels are kept in 8 bit, and 255 marks what is not scored. Leave classes out."
            )
            raise DataError(msg)
        return Benchmark(
            name="ImageFolder",
            classes=tuple(names[0] for names in prompts.synonyms),
            palette=voc_colours(len(prompts.synonyms)),
            prompts=prompts,
            protocol=Protocol(short_side=336),
            notes=("Own data: nobody published a protocol for it, and results compare only under the same settings.",),
        )

    def find_files(self, root: str) -> Listing:
        """Find all images and masks, or those of the list."""
        base = expand(root)
        images_folder, masks_folder = expand(self.images, base), expand(self.masks, base)
        for option, folder in (("images", images_folder), ("masks", masks_folder)):
            if not folder.is_dir():
                msg = (
                    f"There is no folder {folder} (--data.{option}, relative to --data.root). Expected the {option} "
                    "there: set the option to the folder that holds them."
                )
                raise DataError(msg)
        masks = list_files(masks_folder, self.mask_suffix)
        images = _list_images(images_folder, but=self.mask_suffix if images_folder == masks_folder else None)
        places, ids = [images_folder, masks_folder], sorted({*images, *masks})
        if self.split is not None:
            places.append(expand(self.split, base))
            ids = read_ids(places[-1])
        count = len(self.benchmark.classes)
        return Listing(
            ids=ids,
            images=images,
            masks=masks,
            places=places,
            form=f"own masks (*{self.mask_suffix}, {'class index plus 1' if self.zero_is_void else 'class indices'})",
            label_map=LabelMap.without_zero(count) if self.zero_is_void else LabelMap.identity(count),
            listed=self.split is not None,
        )


def _list_images(folder: Path, but: str | None) -> dict[str, Path]:
    """Map names without suffix to paths, but for files whose names end with ``but``."""
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith(".") or (but and path.name.endswith(but)):
            continue
        if path.stem in images:
            msg = (
                f"{images[path.stem]} and {path} have the same name but for the suffix, so that their mask is not "
                "clear. Rename or remove one of them."
            )
            raise DataError(msg)
        images[path.stem] = check_name(path)
    return images
