"""The fold over records against the metrics, which sum label maps on their own."""

import math
import random

import numpy as np
import pytest
import torch

from sclip_lightning.data import VOC20, VOC21
from sclip_lightning.engine.evaluation import Evaluation, check_agreement
from sclip_lightning.errors import RunError
from sclip_lightning.metrics import boundary_f1
from sclip_lightning.records import ImageRecord, fold, sum_up
from sclip_lightning.records.fold import FIXED_POINT
from tests.fake_data import draw_labels


def evaluate(benchmark, images=6):
    """Records of drawn label maps, and the evaluation that counted them."""
    evaluation, records = Evaluation(benchmark), []
    for index in range(images):
        target = draw_labels((40, 56), len(benchmark.classes), seed=index)
        prediction = np.where(draw_labels((40, 56), 2, seed=50 + index) == 0, target, draw_labels((40, 56), 5, index))
        target[:3] = 255
        counts = evaluation.update(torch.from_numpy(prediction), torch.from_numpy(target))
        records.append(ImageRecord(str(index), counts))
    return evaluation, records


@pytest.mark.parametrize("benchmark", [VOC21.published, VOC20.published], ids=lambda benchmark: benchmark.name)
def test_agrees_with_the_metrics(benchmark):
    evaluation, records = evaluate(benchmark)
    totals, scores = evaluation.compute()
    check_agreement(records, benchmark.classes, (totals, scores))
    folded = fold(records, benchmark.classes, evaluation.boundary_names)
    assert folded.metrics == pytest.approx(scores, abs=1e-14)
    assert sum_up(records, len(benchmark.classes), evaluation.boundary_names).equals(totals)
    regions = evaluation.regions.compute()
    for column, expected in {"IoU": regions.iou, "precision": regions.precision, "F1": regions.f1}.items():
        assert np.array_equal([row[column] for row in folded.classes], expected.numpy(), equal_nan=True)
    for name, metric in zip(evaluation.boundary_names, evaluation.boundaries, strict=True):
        assert np.array_equal([row[name] for row in folded.classes], metric.compute().f1.numpy(), equal_nan=True)
        assert folded.metrics[name] == metric.compute().mean


def test_order_changes_no_digit():
    evaluation, records = evaluate(VOC21.published)
    classes, names = VOC21.published.classes, evaluation.boundary_names
    shuffled = random.Random(0).sample(records, len(records))
    assert fold(shuffled, classes, names).metrics == fold(records, classes, names).metrics
    assert sum_up(shuffled, 21, names).equals(sum_up(records, 21, names))


def test_disagreement_is_noticed():
    evaluation, records = evaluate(VOC21.published)
    computed = evaluation.compute()
    with pytest.raises(RunError, match="the integer sums, mIoU"):
        check_agreement(records[1:], VOC21.published.classes, computed)
    totals, scores = computed
    with pytest.raises(RunError, match="differ in mF1,"):
        check_agreement(records, VOC21.published.classes, (totals, scores | {"mF1": scores["mF1"] + 1e-9}))


def test_nothing_to_score():
    scores = fold([], ["a", "b"], ["bF1@3px"])
    assert all(math.isnan(value) for value in scores.metrics.values())
    assert any("does not exist" in note for note in scores.notes)


def test_one_constant():
    assert FIXED_POINT == boundary_f1.FIXED_POINT
