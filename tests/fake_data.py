"""Tiny data sets in the layouts of the real ones, drawn from a seed."""

from pathlib import Path

import numpy as np
from PIL import Image

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
