"""Scores of label maps: regions (mIoU and relatives), boundaries (boundary F1) and seams between windows.

Each score is a pair: pure functions over tensors, and a ``torchmetrics.Metric`` that only sums what they return. All
sums are integers, so a result has the same digits however the images are split over devices.
"""

from sclip_lightning.metrics.boundary import boundary_counts, boundary_counts_at, precision_recall_f1
from sclip_lightning.metrics.boundary_f1 import BoundaryF1, BoundaryScores
from sclip_lightning.metrics.confusion import RegionScores, confusion_matrix, scores
from sclip_lightning.metrics.iou import SegmentationScores
from sclip_lightning.metrics.seams import count_seams
from sclip_lightning.metrics.void import fill_void

__all__ = [
    "BoundaryF1",
    "BoundaryScores",
    "RegionScores",
    "SegmentationScores",
    "boundary_counts",
    "boundary_counts_at",
    "confusion_matrix",
    "count_seams",
    "fill_void",
    "precision_recall_f1",
    "scores",
]
