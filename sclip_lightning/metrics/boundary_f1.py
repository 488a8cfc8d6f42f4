"""Boundary F1 as a metric."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from sclip_lightning.metrics.boundary import boundary_counts, precision_recall_f1

__all__ = ["BoundaryF1", "BoundaryScores"]

#: F values are summed as integer multiples of 2**-44: such sums, unlike float sums, do not depend on their order. An
#: image adds an error below 1e-13, and int64 holds 2**63 / 2**44 = 524,288 images.
FIXED_POINT = 2**44


class BoundaryScores(NamedTuple):
    """Boundary scores of a data set, fractions in [0, 1].

    A named tuple, because torchmetrics cannot return a frozen dataclass from ``compute``.

    Attributes:
        mean: Mean over the scored images of the mean F over an image's classes; NaN if no image has a score.
        images: Number of images with a score, those with a ground-truth contour.
        f1: [C] float64, mean F over the images that have a ground-truth contour of the class; NaN if none has.
        precision: [C] float64 from the counts of all images; NaN for a class without ground-truth contour.
        recall: [C] float64, likewise.
        pooled: [C] float64, F of ``precision`` and ``recall``. Contours of a class predicted in images without it
            lower this one, not ``f1``.
    """

    mean: float
    images: int
    f1: Tensor
    precision: Tensor
    recall: Tensor
    pooled: Tensor


class BoundaryF1(Metric):
    """Boundary F1 (Csurka et al., BMVC 2013), mean over classes and then over images, classes of the ground truth only.

    As input to ``update`` the metric accepts one image: ``prediction``, [H, W] labels 0..C-1, and ``target``, [H, W]
    labels 0..C-1 or ``ignore_index``, of any integer dtype. ``compute`` returns ``BoundaryScores``. The image border is
    no contour, and thin ignored regions are filled first: see ``boundary_counts``.

    Args:
        num_classes: C.
        tolerance: Below 1 a fraction of the image diagonal, from 1 on a distance in pixels.
        ignore_index: Label of ignored pixels of the target.

    Attributes:
        latest: Contour pixels that the last ``update`` counted, [C, 4] int64 on the CPU.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    score_sum: Tensor
    images: Tensor
    class_score_sum: Tensor
    class_images: Tensor
    counts: Tensor
    latest: Tensor

    def __init__(self, num_classes: int, tolerance: float = 0.0075, ignore_index: int = 255) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.tolerance = tolerance
        self.ignore_index = ignore_index
        shapes = {
            "score_sum": (),
            "images": (),
            "class_score_sum": (num_classes,),
            "class_images": (num_classes,),
            "counts": (num_classes, 4),
        }
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, counts: Tensor | None = None) -> None:
        """Count one image; raises ``DataError`` on a label outside the table.

        Args:
            prediction: See above.
            target: See above.
            counts: What ``boundary_counts`` gives for both, where ``boundary_counts_at`` has counted it beside others.
        """
        if counts is None:
            counts = boundary_counts(prediction, target, self.num_classes, self.tolerance, self.ignore_index)
        self.latest = counts
        _, _, f1 = precision_recall_f1(counts)
        class_scores = (f1.nan_to_num() * FIXED_POINT).round().long()
        scored = ~f1.isnan()
        image = {
            "score_sum": class_scores.sum() // scored.sum().clamp(min=1),
            "images": scored.any(),
            "class_score_sum": class_scores,
            "class_images": scored,
            "counts": counts,
        }
        for name, added in image.items():
            state = getattr(self, name)
            state += added.to(state.device)

    def compute(self) -> BoundaryScores:
        """Scores over all images counted on all devices."""
        precision, recall, pooled = precision_recall_f1(self.counts.cpu())
        return BoundaryScores(
            mean=(self.score_sum.cpu().double() / self.images.cpu() / FIXED_POINT).item(),
            images=int(self.images),
            f1=self.class_score_sum.cpu().double() / self.class_images.cpu() / FIXED_POINT,
            precision=precision,
            recall=recall,
            pooled=pooled,
        )
