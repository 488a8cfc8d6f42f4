"""Confusion matrix and region scores against numpy, torchmetrics and counting by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from sclip_lightning.errors import DataError
from sclip_lightning.metrics import confusion_matrix, scores
from sclip_lightning.metrics.confusion import in_bytes


def random_maps(seed, classes=7, shape=(40, 50), ignored=0.1):
    random = np.random.default_rng(seed)
    prediction, target = random.integers(0, classes, (2, *shape))
    target = np.where(random.random(shape) < 0.5, prediction, target)
    return prediction, np.where(random.random(shape) < ignored, 255, target)


def numpy_areas(prediction, target, classes):
    """Intersection and both areas per class by histogram, the way mmsegmentation counts."""
    labelled = target != 255
    prediction, target = prediction[labelled], target[labelled]
    bins = np.arange(classes + 1)
    return [np.histogram(x, bins)[0] for x in (prediction[prediction == target], prediction, target)]


def test_by_hand():
    target = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 255, 255], [2, 2, 255, 255]])
    prediction = torch.tensor([[0, 0, 0, 1], [0, 0, 1, 1], [2, 1, 3, 0], [2, 2, 1, 2]])
    confusion = confusion_matrix(prediction, target, 5)
    assert confusion.tolist() == [[4, 0, 0, 0, 0], [1, 3, 0, 0, 0], [0, 1, 3, 0, 0], [0] * 5, [0] * 5]
    result = scores(confusion)
    nan = torch.nan
    expected = torch.tensor([4 / 5, 3 / 5, 3 / 4, nan, nan], dtype=torch.float64)
    torch.testing.assert_close(result.iou, expected, rtol=0, atol=1e-15, equal_nan=True)
    assert result.miou == pytest.approx((4 / 5 + 3 / 5 + 3 / 4) / 3, abs=1e-15)
    assert result.pixel_accuracy == pytest.approx(10 / 12, abs=1e-15)
    assert result.mean_accuracy == pytest.approx((1 + 3 / 4 + 3 / 4) / 3, abs=1e-15)
    torch.testing.assert_close(result.f1, 2 * expected / (1 + expected), rtol=0, atol=1e-15, equal_nan=True)


def test_class_only_predicted_counts_as_zero():
    result = scores(confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 0]), 3))
    assert result.iou[1] == 0
    assert result.recall[1].isnan()
    assert result.iou[2].isnan()
    assert (result.miou, result.mean_accuracy) == (0.25, 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_against_numpy_and_torchmetrics(seed):
    jaccard = MulticlassJaccardIndex(num_classes=7, ignore_index=255)
    confusion, areas = 0, 0
    for image in range(3):
        prediction, target = random_maps(10 * seed + image)
        areas = areas + np.array(numpy_areas(prediction, target, 7))
        prediction, target = torch.from_numpy(prediction), torch.from_numpy(target)
        jaccard.update(prediction, target)
        confusion = confusion + confusion_matrix(prediction, target, 7)
    hits, predicted, true = areas
    result = scores(confusion)
    np.testing.assert_allclose(result.iou, hits / (predicted + true - hits), rtol=0, atol=1e-15)
    np.testing.assert_allclose(result.precision, hits / predicted, rtol=0, atol=1e-15)
    np.testing.assert_allclose(result.recall, hits / true, rtol=0, atol=1e-15)
    assert result.pixel_accuracy == pytest.approx(hits.sum() / true.sum(), abs=1e-15)
    assert result.miou == pytest.approx(jaccard.compute().item(), abs=1e-6)  # torchmetrics divides in float32


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.int32, torch.int64])
def test_any_integer_dtype(dtype):
    prediction, target = (torch.from_numpy(x) for x in random_maps(0))
    expected = confusion_matrix(prediction, target, 7)
    confusion = confusion_matrix(prediction.to(dtype), target.to(dtype), 7)
    assert confusion.dtype == torch.int64
    assert confusion.equal(expected)


@pytest.mark.parametrize("ignore_index", [-1, 0])
def test_other_ignored_labels(ignore_index):
    target = torch.tensor([ignore_index, 1, 2])
    assert confusion_matrix(torch.tensor([0, 1, 0]), target, 3, ignore_index).tolist() == [
        [0] * 3,
        [0, 1, 0],
        [1, 0, 0],
    ]


@pytest.mark.parametrize(
    ("prediction", "target", "named"),
    [
        ([0, 3, 255], [0, 0, 0], "prediction has labels outside the class table: found 3, 255, expected 0 to 2"),
        ([0, 3, 0], [0, 255, 0], "prediction"),
        ([0, 0, 0], [0, 182, 0], "ground truth has labels outside the class table: found 182"),
        ([0, 0, 0], [0, -1, 0], "ground truth has labels outside the class table: found -1"),
        ([0, 0], [0, 0, 0], "one size"),
        ([0.0, 0.0], [0, 0], "integer"),
    ],
)
def test_bad_labels(prediction, target, named):
    with pytest.raises(DataError, match=named):
        confusion_matrix(torch.tensor(prediction), torch.tensor(target), 3)


def test_all_ignored_gives_nan():
    result = scores(confusion_matrix(torch.zeros(3, 4, dtype=int), torch.full((3, 4), 255), 2))
    assert all(np.isnan([result.miou, result.mean_accuracy, result.mean_f1, result.pixel_accuracy]))


def test_more_classes_than_the_type_of_the_ground_truth_holds():
    target = torch.tensor([0, 254, 255], dtype=torch.uint8)
    confusion = confusion_matrix(torch.tensor([299, 254, 299]), target, 300)
    assert confusion.nonzero().tolist() == [[0, 299], [254, 254]]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (torch.tensor([0, 255]), torch.uint8),
        (torch.tensor([0, 256]), torch.int64),
        (torch.tensor([-1, 5], dtype=torch.int16), torch.int16),
        (torch.tensor([0.0, 1.0]), torch.float32),
        (torch.zeros(0, dtype=torch.int32), torch.int32),
    ],
)
def test_bytes_hold_the_same_labels_or_are_left_alone(labels, kind):
    found = in_bytes(labels)
    assert found.dtype == kind
    assert torch.equal(found.to(labels.dtype), labels)
