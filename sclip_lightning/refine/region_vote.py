"""The region vote: inside each segment of a given map, every pixel takes the most frequent label.

The last step of Zhang, Liu, Tang, "CorrCLIP: Reconstructing Patch Correlations in CLIP for Open-Vocabulary Semantic
Segmentation", ICCV 2025, arXiv 2411.10086 (code: zdk258/CorrCLIP at 103bc18, folder CorrCLIPv1). It needs labels and
segments only, so it follows any method; published figures exist for CorrCLIP and OV-Stitcher alone.

The labels are those of the authors' code, which loops over segments; here all are counted at once, in integers.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.windows.scene import Scene
from sclip_lightning.windows.steps import MapStep

__all__ = ["RegionVote", "Unassigned", "region_vote"]

#: Which number of a segment map means "no segment": the smallest in the image, a certain one, or none.
Unassigned = Literal["smallest"] | int | None


@dataclass(frozen=True)
class RegionVote(MapStep):
    """Gives each of the scene's regions its most frequent label; see :func:`region_vote`.

    Args:
        unassigned: The number in the segment map whose pixels keep their labels. ``smallest``, the rule of the authors'
            code, is the smallest number *in this image*: a map that covers every pixel then loses the vote in its
            lowest-numbered segment, and a map of one number changes nothing. For such maps give the number that
            stands for "no segment" (0 or -1 in most formats), or None to vote everywhere.

    Raises:
        ConfigError: ``unassigned`` is a word other than ``smallest``.
    """

    works_on = "labels"
    reads_regions = True

    unassigned: Unassigned = "smallest"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.unassigned, str) and str(self.unassigned) != "smallest":
            msg = (
                f"--model.refiners: RegionVote's unassigned is {self.unassigned!r}. Give smallest (as published), the "
                'whole number that means "no segment" in your segment maps, or null where every number is a segment.'
            )
            raise ConfigError(msg)

    def __call__(self, maps: Tensor, scene: Scene) -> Tensor:
        """Vote on [H, W] int64 labels inside ``scene.regions``; returns [H, W] int64.

        Raises:
            ConfigError: The scene has no regions.
            DataError: The regions have another size than the labels.
        """
        if scene.regions is None:
            msg = (
                "--model.refiners has RegionVote, which votes inside the segments of a map, but no segment map came "
                "with the image. Give one whole number per pixel of the image ([H, W]; regions), or take RegionVote "
                "out of --model.refiners."
            )
            raise ConfigError(msg)
        if scene.regions.shape != maps.shape:
            msg = (
                f"RegionVote: the segment map has {_size(scene.regions)} pixels, the labels {_size(maps)} (rows x "
                "columns). It must have the labels' size, for benchmarks that of the image file: make it from that "
                "image, or resize it by taking nearest pixels; other resizing mixes segment numbers."
            )
            raise DataError(msg)
        # The labels themselves say how many there are at most; the vote never gives one that is not there.
        return region_vote(maps, scene.regions.to(maps.device), int(maps.max()) + 1, self.unassigned)


def region_vote(labels: Tensor, segments: Tensor, classes: int, unassigned: Unassigned = "smallest") -> Tensor:
    """Give every pixel of a segment the label that is most frequent in it.

    Args:
        labels: [H, W] int64, each in 0..classes - 1. All count, background too.
        segments: [H, W] of an integer dtype and any values, on the same device. Pixels of one value are one segment,
            connected or not.
        classes: C, an upper bound of the labels.
        unassigned: Pixels with this number in ``segments`` keep their labels: the smallest that occurs, a certain one
            (which need not occur), or none.

    Returns:
        [H, W] int64. Of labels that are equally frequent in a segment the smallest wins.
    """
    # Sorting is what takes the time, and runs of one number along the rows are far fewer than pixels.
    runs, run = segments.flatten().unique_consecutive(return_inverse=True)
    numbers, index = runs.unique(return_inverse=True)  # numbers ascend
    index = index[run].view(labels.shape)
    counts = (index * classes + labels).flatten().bincount(minlength=len(numbers) * classes).view(-1, classes)
    # Which of several equal maxima argmax finds is up to the device: make them differ, in favour of small labels.
    preference = torch.arange(classes - 1, -1, -1, device=labels.device)
    voted = (counts * classes + preference).argmax(dim=1)[index]
    if unassigned is None:
        return voted
    keeps = index == 0 if unassigned == "smallest" else segments == unassigned
    return torch.where(keeps, labels, voted)


def _size(map_: Tensor) -> str:
    return " x ".join(str(side) for side in map_.shape)
