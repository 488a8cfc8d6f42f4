"""From merged logits to labels or probabilities.

As published: ``softmax(logit_scale * logits)`` over the queries, the maximum over each class's synonyms, an optional
area filter, arg-max, and the background class (0, but for SegEarth-OV) where the maximum is below ``prob_threshold``.
Softmax and maximum keep the order, so labels need neither: the class of the best query is the label, and only the
confidence that the threshold looks at takes a sum of exponentials per pixel. Labels are therefore made in one pass over
row blocks, or two with the area filter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from sclip_lightning.ranges import LOGIT_SCALES, at_least, between, check_numbers
from sclip_lightning.windows import MergedLogits, ResizedMaps
from sclip_lightning.windows.merge import ACCELERATOR_BLOCK, CPU_BLOCK

__all__ = ["Head"]

#: Maps from which on the highest is looked for in groups, and of how many.
MANY, GROUP = 128, 16


@dataclass(frozen=True)
class Head:
    """Turns the logits of queries into class labels (Wang et al., ECCV 2024, and its released configurations).

    Attributes:
        logit_scale: Factor on the cosines before the softmax.
        prob_threshold: Pixels whose highest class probability is below it become ``background``; 0 switches it off.
        area_threshold: A class other than 0 whose area is not greater than this share of the area of all classes other
            than 0 is taken out, and its pixels get the best of the other labels; 0 switches it off.
        background: The class that pixels below the threshold become.
    """

    logit_scale: Annotated[float, LOGIT_SCALES]
    prob_threshold: Annotated[float, between(0, 1)] = 0.0
    area_threshold: Annotated[float, between(0, 1)] = 0.0
    background: Annotated[int, at_least(0, whole=True)] = 0

    def __post_init__(self) -> None:
        check_numbers(self)

    def labels(self, merged: MergedLogits, query_classes: Tensor, classes: int | None = None) -> Tensor:
        """Label every pixel.

        Args:
            merged: Logits of Q queries at the output size.
            query_classes: [Q] int64, the class of each query.
            classes: C, how many classes there are; where it is not given a GPU is asked, which makes the host wait.

        Returns:
            [H, W] int64 class labels.
        """
        if self.area_threshold == 0:
            return self._label(merged, query_classes, self.prob_threshold)
        labels = self._label(merged, query_classes, prob_threshold=0)
        small = self._is_small(labels, classes or int(query_classes.max()) + 1)
        if self.prob_threshold == 0 and not small[labels].any():
            return labels
        return self._label(merged, query_classes, self.prob_threshold, excluded=small[query_classes])

    def probabilities(
        self, logits: Tensor, query_classes: Tensor, overwrite: bool = False, classes: int | None = None
    ) -> Tensor:
        """Probability of every class at every pixel, before area filter and threshold.

        The maximum over a class's synonyms, not their sum: with synonyms the classes need not add up to 1.

        Args:
            logits: [Q, H, W] float32.
            query_classes: [Q] int64.
            overwrite: Where every class has one query, put the probabilities into the place of the logits.
            classes: As for :meth:`labels`.

        Returns:
            [C, H, W] float32 in [0, 1].
        """
        count = classes or int(query_classes.max()) + 1
        plain = len(logits) == count
        maps = logits if plain and overwrite else logits.new_zeros(count, *logits.shape[1:])
        for rows in _row_blocks(logits):
            self._fill(maps[:, rows], logits[:, rows], query_classes)
        return maps

    def merged_probabilities(self, merged: MergedLogits, query_classes: Tensor, classes: int | None = None) -> Tensor:
        """The same, bit by bit, of logits before they are one map: those of all synonyms never exist together."""
        count = classes or int(query_classes.max()) + 1
        if merged.queries == count:
            return self.probabilities(merged.full(), query_classes, overwrite=True, classes=count)
        maps = torch.zeros(count, *merged.output_size, device=merged.device)
        for rows, logits in merged.bands(_rows_at_once(merged.queries, merged.output_size[1], merged.device)):
            self._fill(maps[:, rows], logits, query_classes)
        return maps

    def labels_from_probabilities(self, probabilities: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Area filter, arg-max and threshold, as :meth:`labels` does.

        Args:
            probabilities: [C, h, w] float32.
            size: (H, W) that they are brought to, bilinear, in bands of rows; None for their own.

        Returns:
            [H, W] int64 class labels.
        """
        maps = ResizedMaps(probabilities, size or (probabilities.shape[1], probabilities.shape[2]))
        small = None
        if self.area_threshold > 0:
            small = self._is_small(self._best(maps, 0.0), len(probabilities))
        return self._best(maps, self.prob_threshold, small)

    def _best(self, maps: ResizedMaps, prob_threshold: float, excluded: Tensor | None = None) -> Tensor:
        labels = torch.empty(maps.output_size, dtype=torch.int64, device=maps.maps.device)
        for rows, block in maps:
            for some in _row_blocks(block):
                kept = block[:, some] if excluded is None else block[:, some].masked_fill(excluded[:, None, None], 0)
                confidence, label = _highest(kept)
                labels[rows][some] = label.masked_fill_(confidence < prob_threshold, self.background)
        return labels

    def _fill(self, maps: Tensor, logits: Tensor, query_classes: Tensor) -> None:
        """Write probabilities of classes [C, r, W] made of logits [Q, r, W]; ``maps`` hold zeros, or those logits."""
        queries = (logits * self.logit_scale).softmax(dim=0)
        if len(maps) == len(queries):
            maps.copy_(queries)
        else:
            index = query_classes[:, None, None].expand_as(queries)
            maps.copy_(maps.scatter_reduce(0, index, queries, "amax"))

    def _label(
        self, merged: MergedLogits, query_classes: Tensor, prob_threshold: float, excluded: Tensor | None = None
    ) -> Tensor:
        labels = torch.empty(merged.output_size, dtype=torch.int64, device=merged.device)
        for rows, block in merged:
            best, query = _highest(block.transpose(0, 1))
            top = best
            if excluded is not None:
                best, query = _highest(block.masked_fill(excluded[:, None], -torch.inf).transpose(0, 1))
            label = query_classes[query]
            if prob_threshold > 0:
                # Relative to the pixel's top logit, so that no exponential overflows.
                total = block.sub_(top[:, None]).mul_(self.logit_scale).exp_().sum(dim=1)
                confidence = ((best - top) * self.logit_scale).exp() / total
                label = label.masked_fill(confidence < prob_threshold, self.background)
            labels[rows] = label
        return labels

    def _is_small(self, labels: Tensor, classes: int) -> Tensor:
        """[C] bool, the classes that the area filter takes out; class 0 never is one."""
        area = labels.flatten().bincount(minlength=classes)
        area[0] = 0
        small = area <= self.area_threshold * area.sum()
        small[0] = False
        return small


def _highest(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Value and number of the highest of many maps, ``maps.max(dim=0)``: of equal ones the first.

    A CPU finds values many at a time, but numbers one by one. So the best of each group of maps are found first, and
    numbers are only looked for among these and within the group of the best.

    Args:
        maps: [Q, r, W] float32.

    Returns:
        [r, W] float32 and [r, W] int64.
    """
    if len(maps) < MANY:
        best, number = maps.max(dim=0)
        return best, number
    whole = len(maps) // GROUP * GROUP
    groups = maps[:whole].unflatten(0, (-1, GROUP)).amax(dim=1)
    if whole < len(maps):
        groups = torch.cat([groups, maps[whole:].amax(dim=0, keepdim=True)])
    best, group = groups.max(dim=0)
    first = group * GROUP
    within = torch.arange(GROUP, device=maps.device)[:, None, None]
    # The last group may be smaller: its last map again and again is never the first of equal ones.
    return best, first + maps.gather(0, (first + within).clamp_(max=len(maps) - 1)).max(dim=0)[1]


def _row_blocks(maps: Tensor) -> Iterator[slice]:
    """Rows of [C, H, W] maps, so many at a time that intermediate results are small beside the maps."""
    _, height, width = maps.shape
    step = _rows_at_once(len(maps), width, maps.device)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def _rows_at_once(maps: int, width: int, device: torch.device) -> int:
    """Always a multiple of 16.

    The softmax of a CPU treats what is left of a vector's width by itself, and rounds it otherwise, so that other
    blocks would change last digits.
    """
    budget = CPU_BLOCK if device.type == "cpu" else ACCELERATOR_BLOCK
    return max(budget // (maps * width) // 16, 1) * 16
