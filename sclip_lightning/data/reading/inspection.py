"""Reading every file of a split to the end: what is wrong with it, and which classes it holds."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sclip_lightning.data.reading.layout import SampleFiles, check_same_size
from sclip_lightning.data.reading.masks import LabelMap, read_image, read_mask
from sclip_lightning.errors import DataError

__all__ = ["Inspection", "inspect_samples"]


@dataclass
class Inspection:
    """What reading some samples brought to light.

    Attributes:
        pixels: [256] int64, pixels of each train id in all masks; 255 is what is not scored.
        images: [256] int64, images in which each train id occurs.
        problems: One paragraph per problem; its last sentence says what to do.
    """

    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    images: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    problems: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Inspection") -> "Inspection":
        """Add what other samples brought to light."""
        self.pixels += other.pixels
        self.images += other.images
        self.problems += other.problems
        return self


def inspect_samples(samples: Sequence[SampleFiles], label_map: LabelMap, num_workers: int) -> Inspection:
    """Decode images and masks to the end, under a progress bar.

    Args:
        samples: Files of the samples.
        label_map: What the stored values mean.
        num_workers: Threads that read (decoding leaves Python to the others); none is as one.
    """
    total = Inspection()
    with ThreadPoolExecutor(max(num_workers, 1)) as pool:
        found = pool.map(partial(_inspect, label_map=label_map), samples)
        for inspection in tqdm(found, "Checking", total=len(samples), unit="image"):
            total += inspection
    return total


def _inspect(files: SampleFiles, label_map: LabelMap) -> Inspection:
    """Inspect one sample."""
    result = Inspection()
    size = mask = None
    try:
        size = read_image(files.image).shape[:2]
    except DataError as error:
        result.problems.append(str(error))
    try:
        mask = read_mask(files.mask)
        labels = label_map(mask, files.mask)
    except DataError as error:
        result.problems.append(str(error))
    else:
        result.pixels += np.bincount(labels.ravel(), minlength=256)
        result.images += result.pixels > 0
    if size is not None and mask is not None:
        try:
            check_same_size(files, size, mask.shape)
        except DataError as error:
            result.problems.append(str(error))
    return result
