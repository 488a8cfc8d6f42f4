"""Records of single images: what a run leaves of each, and how all reported numbers follow from them.

Imports numpy and the standard library only, so that reading runs is instant.
"""

from sclip_lightning.records.files import Records, RecordWriter, load_records
from sclip_lightning.records.fold import BoundaryTotals, Scores, Totals, fold, scores_of, sum_up
from sclip_lightning.records.record import ImageCounts, ImageRecord
from sclip_lightning.records.seams import Seams, sum_seams

__all__ = [
    "BoundaryTotals",
    "ImageCounts",
    "ImageRecord",
    "RecordWriter",
    "Records",
    "Scores",
    "Seams",
    "Totals",
    "fold",
    "load_records",
    "scores_of",
    "sum_seams",
    "sum_up",
]
