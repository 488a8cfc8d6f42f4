"""Mean F1 is mmsegmentation's, in the metrics and in the fold over records alike."""

import math

import numpy as np
import pytest
import torch

from sclip_lightning.metrics.confusion import scores
from sclip_lightning.records import BoundaryTotals, Totals, scores_of

#: Class 0 has hits, class 1 only misses, class 2 only false alarms, class 3 occurs nowhere.
CONFUSION = np.array([[70, 0, 10, 0], [20, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def mmseg_f1(confusion):
    """F of each class, written as mmseg writes it: from precision and recall, both divided as they come."""
    hits, true, predicted = (torch.from_numpy(sums).double() for sums in sums_of(confusion))
    precision, recall = hits / predicted, hits / true
    return 2 * precision * recall / (precision + recall)


def sums_of(confusion):
    return confusion.diagonal().copy(), confusion.sum(1), confusion.sum(0)


def random_confusion(seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 50, (9, 9)) * (rng.random((9, 9)) < 0.2)


@pytest.mark.parametrize("confusion", [CONFUSION, *map(random_confusion, range(5))])
def test_classes_without_hits_are_left_out(confusion):
    expected = mmseg_f1(confusion).numpy()
    assert np.isnan(expected).any()  # else the case would say nothing
    regions = scores(torch.from_numpy(confusion))
    folded = scores_of(Totals(confusion, dict[str, BoundaryTotals]()), [f"class {i}" for i in range(len(confusion))])
    for f1, mean in (
        (regions.f1.numpy(), regions.mean_f1),
        (np.array([row["F1"] for row in folded.classes]), folded.metrics["mF1"]),
    ):
        np.testing.assert_allclose(f1, expected, rtol=1e-14)
        assert mean == pytest.approx(np.nanmean(expected), abs=1e-14)


def test_no_hit_at_all():
    assert math.isnan(scores(torch.tensor([[0, 3], [2, 0]])).mean_f1)
