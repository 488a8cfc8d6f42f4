"""All scores of one evaluation, from label maps to the rows of a report."""

from typing import Any

from torch import Tensor, nn

from sclip_lightning.data.benchmark import Benchmark
from sclip_lightning.metrics import BoundaryF1, SegmentationScores

__all__ = ["Evaluation"]

#: Boundary tolerances: 0.75 % of the image diagonal (Csurka et al., BMVC 2013) and 3 pixels.
BOUNDARY_TOLERANCES = {"bF1@0.75pct": 0.0075, "bF1@3px": 3.0}


class Evaluation(nn.Module):
    """Counts what a benchmark scores; the sums are integers, so any split over devices gives the same digits.

    Args:
        benchmark: Whose classes are scored; boundaries are left out where its background is ignored.

    Attributes:
        images: Number of images counted on this device.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        super().__init__()
        self.benchmark = benchmark
        self.images = 0
        classes = len(benchmark.classes)
        self.regions = SegmentationScores(classes)
        tolerances = BOUNDARY_TOLERANCES.values() if benchmark.scores_boundaries else ()
        self.boundaries: Any = nn.ModuleList(BoundaryF1(classes, tolerance) for tolerance in tolerances)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Count one image: [H, W] labels 0..C-1 against [H, W] labels 0..C-1 or 255 (ignored)."""
        self.images += 1
        self.regions.update(prediction, target)
        for metric in self.boundaries:
            metric.update(prediction, target)

    def compute(self) -> tuple[dict[str, float | None], list[dict[str, Any]], list[str]]:
        """Sum over all devices, which all must call this.

        Returns:
            Headline scores, one row per class, and notes for the reader. Scores are fractions, NaN where undefined.
        """
        regions = self.regions.compute()
        metrics: dict[str, float | None] = {
            "mIoU": regions.miou,
            "aAcc": regions.pixel_accuracy,
            "mAcc": regions.mean_accuracy,
            "mF1": regions.mean_f1,
        }
        columns = {
            "IoU": regions.iou,
            "precision": regions.precision,
            "recall": regions.recall,
            "F1": regions.f1,
        }
        notes = list(self.benchmark.notes)
        for name, metric in zip(BOUNDARY_TOLERANCES, self.boundaries, strict=False):
            boundary = metric.compute()
            metrics[name] = boundary.mean
            columns[name] = boundary.f1
            if boundary.images == 0:
                notes.append(f"{name} does not exist: no image has a contour between two labelled classes.")
        if not self.benchmark.scores_boundaries:
            notes.append(
                f"Boundary F1 is not applicable to {self.benchmark.name}: its background is ignored, so the contours "
                "of objects against it cannot be scored."
            )
        rows = [
            {"index": index, "class": name} | {column: float(values[index]) for column, values in columns.items()}
            for index, name in enumerate(self.benchmark.classes)
        ]
        return metrics, rows, notes
