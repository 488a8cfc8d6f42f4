"""Reading every file of a split to the end: what is wrong with it, and which classes and segments it holds."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sclip_lightning.data.reading.layout import SampleFiles, check_same_size
from sclip_lightning.data.reading.masks import LabelMap, read_image, read_mask
from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.errors import DataError

__all__ = ["Inspection", "inspect_samples"]


@dataclass
class Inspection:
    """What reading some samples brought to light.

    Attributes:
        pixels: [256] int64, pixels of each train id in all masks; 255 is what is not scored.
        images: [256] int64, images in which each train id occurs.
        segments: Of each segment map that could be read, how many segments it has by CorrCLIP's rule: as many as there
            are numbers in it, but for the smallest, which is "no segment".
        smallest: How many maps have which smallest number.
        covered: Pixels of these maps.
        unassigned: Those of them that have the smallest number of their map.
        problems: One paragraph per problem; its last sentence says what to do.
    """

    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    images: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    segments: list[int] = field(default_factory=list)
    smallest: Counter[int] = field(default_factory=Counter)
    covered: int = 0
    unassigned: int = 0
    problems: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Inspection") -> "Inspection":
        """Add what other samples brought to light."""
        self.pixels += other.pixels
        self.images += other.images
        self.segments += other.segments
        self.smallest += other.smallest
        self.covered += other.covered
        self.unassigned += other.unassigned
        self.problems += other.problems
        return self


def inspect_samples(
    samples: Sequence[SampleFiles], label_map: LabelMap, num_workers: int, maps: SegmentMaps | None = None
) -> Inspection:
    """Decode images, masks and segment maps to the end, under a progress bar.

    Args:
        samples: Files of the samples.
        label_map: What the stored values mean.
        num_workers: Threads that read (decoding leaves Python to the others); none is as one.
        maps: Segment maps to be read beside them.
    """
    total = Inspection()
    with ThreadPoolExecutor(max(num_workers, 1)) as pool:
        found = pool.map(partial(_inspect, label_map=label_map, maps=maps), samples)
        for inspection in tqdm(found, "Checking", total=len(samples), unit="image"):
            total += inspection
    return total


def _inspect(files: SampleFiles, label_map: LabelMap, maps: SegmentMaps | None) -> Inspection:
    """Inspect one sample."""
    result = Inspection()
    size: tuple[int, int] | None = None
    mask = None
    try:
        height, width, _ = read_image(files.image).shape
        size = height, width
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
    if maps is not None:
        try:
            numbers, counts = np.unique(maps.read(files.map_names, size), return_counts=True)
        except DataError as error:
            result.problems.append(str(error))
        else:
            result.segments.append(len(numbers) - 1)
            result.smallest[int(numbers[0])] += 1
            result.covered, result.unassigned = int(counts.sum()), int(counts[0])
    return result
