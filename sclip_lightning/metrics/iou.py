"""Region scores as a metric."""

import torch
from torch import Tensor
from torchmetrics import Metric

from sclip_lightning.metrics.confusion import RegionScores, confusion_matrix, scores

__all__ = ["SegmentationScores"]


class SegmentationScores(Metric):
    """mIoU, accuracies, precision, recall and F1 of a data set, from one confusion matrix over all its pixels.

    As input to ``update`` the metric accepts one image or more: ``prediction`` with labels 0..C-1 and ``target`` with
    labels 0..C-1 or ``ignore_index``, of any integer dtype and of one shape. ``compute`` returns ``RegionScores``.

    Args:
        num_classes: C.
        ignore_index: Pixels with this target never count.

    Attributes:
        latest: What the last ``update`` added, [C, C] int64 on the CPU.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    confusion: Tensor
    latest: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count pixels; raises ``DataError`` on a label outside the table."""
        self.latest = confusion_matrix(prediction, target, self.num_classes, self.ignore_index)
        self.confusion += self.latest.to(self.confusion.device)

    def compute(self) -> RegionScores:
        """Scores over all pixels counted on all devices."""
        return scores(self.confusion)
