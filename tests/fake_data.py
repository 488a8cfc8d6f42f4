"""Tiny data sets in the layouts of the real ones, drawn from a seed."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from sclip_lightning.data.reading.benchmark import read_label_table

#: COCO ids - 1 that a raw COCO-Stuff map may hold, in the order of train ids.
COCO_VALUES = np.array([v for v in range(182) if v not in {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}], dtype=np.uint8)

#: Colours that differ from their indices and from each other, so that a colour-converted mask cannot pass.
PALETTE = [(37 * index + channel * 85) % 256 for index in range(256) for channel in range(3)]


def write_voc(root: Path, n: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """Write n samples as ``root/VOCdevkit/VOC2012``; every second one is upright. Returns the folder VOC2012."""
    base = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    ids = [f"2007_{i:06d}" for i in range(n)]
    for i, sample_id in enumerate(ids):
        labels = draw_labels(size if i % 2 == 0 else size[::-1], num_classes=21, seed=seed + i)
        labels[:2] = 255
        write_image(base / "JPEGImages" / f"{sample_id}.jpg", labels)
        write_palette_mask(base / "SegmentationClass" / f"{sample_id}.png", labels)
    (base / "ImageSets/Segmentation/val.txt").write_text("".join(f"{sample_id}\n" for sample_id in ids))
    return base


def write_coco_stuff(
    root: Path, n: int, converted: bool = False, size: tuple[int, int] = (48, 64), seed: int = 0
) -> Path:
    """Write n samples as ``root/{images,annotations}/val2017``; one seed gives one ground truth. Returns root."""
    images, masks = root / "images/val2017", root / "annotations/val2017"
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        labels = draw_labels(size if i % 2 == 0 else size[::-1], num_classes=171, seed=seed + i)
        write_image(images / f"{i:012d}.jpg", labels)
        stored = labels if converted else COCO_VALUES[labels]
        stored[:2] = 255
        Image.fromarray(stored).save(masks / f"{i:012d}{'_labelTrainIds' if converted else ''}.png")
    return root


def write_coco_object(root: Path, n: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """The samples of :func:`write_coco_stuff`, of the same seed, with converted masks. Returns root."""
    write_coco_stuff(root, n, size=size, seed=seed)
    for path in (root / "annotations/val2017").glob("*.png"):
        labels = np.array(Image.open(path))
        things = np.searchsorted(COCO_VALUES[:80], labels).astype(np.uint8) + 1
        stored = np.where(labels < 90, things, 0).astype(np.uint8)
        Image.fromarray(stored).save(path.with_name(f"{path.stem}_instanceTrainIds.png"))
        path.unlink()
    return root


def write_coco_stuff10k(root: Path, n: int, raw: bool = True, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """Write n test samples as published (MATLAB files and a list) or converted; returns root."""
    images, masks = (root / folder / ("" if raw else "test2014") for folder in ("images", "annotations"))
    for folder in (images, masks, *([root / "imageLists"] if raw else [])):
        folder.mkdir(parents=True, exist_ok=True)
    ids = [f"COCO_train2014_{i:012d}" for i in range(n)]
    for i, sample_id in enumerate(ids):
        labels = draw_labels(size, num_classes=171, seed=seed + i)
        write_image(images / f"{sample_id}.jpg", labels)
        if raw:
            stored = COCO_VALUES[labels] + 1
            stored[:2] = 0
            savemat(masks / f"{sample_id}.mat", {"S": stored, "captions": "what else the files hold"})
        else:
            labels += 1
            labels[:2] = 0
            Image.fromarray(labels).save(masks / f"{sample_id}_labelTrainIds.png")
    if raw:
        (root / "imageLists/test.txt").write_text("".join(f"{sample_id}\n" for sample_id in ids))
    return root


def write_context(root: Path, n: int, raw: bool = False, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """Write n samples as ``root/VOCdevkit/VOC2010``, masks as published or converted; returns the folder VOC2010."""
    base = root / "VOCdevkit/VOC2010"
    masks, lists = base / ("trainval" if raw else "SegmentationClassContext"), "Main" if raw else "SegmentationContext"
    for folder in (base / "JPEGImages", masks, base / "ImageSets" / lists):
        folder.mkdir(parents=True, exist_ok=True)
    values = np.array(read_label_table("context").values, dtype=np.uint16)
    ids = [f"2008_{i:06d}" for i in range(n)]
    for i, sample_id in enumerate(ids):
        labels = draw_labels(size, num_classes=60, seed=seed + i)
        write_image(base / "JPEGImages" / f"{sample_id}.jpg", labels)
        if raw:
            stored = values[labels]
            stored[stored == 0] = 459  # a category that is not scored
            savemat(masks / f"{sample_id}.mat", {"LabelMap": stored})
        else:
            Image.fromarray(labels).save(masks / f"{sample_id}.png")
    (base / "ImageSets" / lists / "val.txt").write_text("".join(f"{sample_id}\n" for sample_id in ids))
    return base


def write_cityscapes(
    root: Path, n: int, converted: bool = False, size: tuple[int, int] = (48, 96), seed: int = 0
) -> Path:
    """Write n frames of two cities as ``root/cityscapes``; returns that folder."""
    base = root / "cityscapes"
    values = np.array(read_label_table("cityscapes").values, dtype=np.uint8)
    for i in range(n):
        city = ("munster", "lindau")[i % 2]
        name = f"{city}_{i:06d}_000019"
        for folder in ("leftImg8bit", "gtFine"):
            (base / folder / "val" / city).mkdir(parents=True, exist_ok=True)
        labels = draw_labels(size, num_classes=19, seed=seed + i)
        write_image(base / "leftImg8bit/val" / city / f"{name}_leftImg8bit.png", labels)
        stored = labels if converted else values[labels]
        stored[:2] = 255 if converted else 3  # out of the region of interest
        kind = "labelTrainIds" if converted else "labelIds"
        Image.fromarray(stored).save(base / "gtFine/val" / city / f"{name}_gtFine_{kind}.png")
    return base


def write_ade20k(root: Path, n: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """Write n samples as ``root/ADEChallengeData2016``; returns that folder."""
    base = root / "ADEChallengeData2016"
    for folder in ("images", "annotations"):
        (base / folder / "validation").mkdir(parents=True, exist_ok=True)
    for i in range(n):
        labels = draw_labels(size, num_classes=151, seed=seed + i)
        write_image(base / f"images/validation/ADE_val_{i:08d}.jpg", labels)
        Image.fromarray(labels).save(base / f"annotations/validation/ADE_val_{i:08d}.png")
    return base


def write_own(root: Path, n: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """Write n samples of three classes as ``root/own``, with ``classes.txt``; returns that folder."""
    base = root / "own"
    for folder in ("images", "masks"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        labels = draw_labels(size, num_classes=3, seed=seed + i)
        labels[:2] = 255
        write_image(base / f"images/street {i}.jpg", labels)
        Image.fromarray(labels).save(base / f"masks/street {i}.png")
    (base / "classes.txt").write_text("sky, wall\ncar\nperson\n")
    return base


def write_all(root: Path, n: int) -> Path:
    """Write n samples of every benchmark, and of own data, below root; returns root."""
    for write in (write_voc, write_coco_stuff, write_context, write_cityscapes, write_ade20k, write_own):
        write(root, n)
    write_coco_stuff10k(root / "coco_stuff10k", n)
    return root


def draw_labels(size: tuple[int, int], num_classes: int, seed: int) -> np.ndarray:
    """[H, W] uint8: a background with six rectangles, each of a random class."""
    rng = np.random.default_rng(seed)
    labels = np.full(size, rng.integers(num_classes), dtype=np.uint8)
    for _ in range(6):
        top, left = rng.integers(size[0]), rng.integers(size[1])
        height, width = rng.integers(size[0] // 8, size[0] // 2), rng.integers(size[1] // 8, size[1] // 2)
        labels[top : top + height, left : left + width] = rng.integers(num_classes)
    return labels


def write_image(path: Path, labels: np.ndarray) -> None:
    """A JPEG with one colour per label."""
    colours = np.random.default_rng(1).integers(256, size=(256, 3), dtype=np.uint8)
    Image.fromarray(colours[labels]).save(path, quality=90)


def write_palette_mask(path: Path, labels: np.ndarray) -> None:
    """A palette PNG, as VOC has them."""
    mask = Image.fromarray(labels)
    mask.putpalette(PALETTE)
    mask.save(path)


def write_maps(images: Path, folder: Path) -> None:
    """A segment map for each image in a folder and below: its left half, and nothing."""
    folder.mkdir(parents=True)
    for path in images.rglob("*.jpg"):
        with Image.open(path) as image:
            segments = np.arange(image.width) < image.width // 2
            np.savez_compressed(folder / f"{path.stem}.npz", instance_mask=np.tile(segments, (image.height, 1)))
