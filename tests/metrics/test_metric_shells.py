"""The metrics give the digits of one pass under any split over devices, and refuse what the functions refuse."""

import math
import pickle

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing

from sclip_lightning.errors import DataError
from sclip_lightning.metrics import BoundaryF1, SegmentationScores, boundary_counts, precision_recall_f1, scores
from tests.metrics.test_boundary import random_maps

CLASSES = 8
IMAGES = 7
#: An image whose ground truth touches no other class, so that it has no boundary score.
WITHOUT_SCORE = 5


def images():
    """Pairs of predictions and ground truths of several sizes, with ignored patches and absent classes."""
    sizes = [(60, 80), (75, 50), (37, 61), (50, 38), (30, 40), (24, 32), (64, 85)]
    maps = [random_maps(seed, size, classes=CLASSES) for seed, size in enumerate(sizes)]
    maps[WITHOUT_SCORE][1][:] = np.where(maps[WITHOUT_SCORE][1] == 255, 255, 3)
    return [tuple(torch.from_numpy(labels.astype(np.uint8)) for labels in pair) for pair in maps]


def metrics():
    return SegmentationScores(CLASSES), BoundaryF1(CLASSES), BoundaryF1(CLASSES, tolerance=3)


def counted(shard):
    made = metrics()
    for prediction, target in shard:
        for metric in made:
            metric.update(prediction, target)
    return made


def digits(result):
    """Every bit of a result, NaN included."""
    return [x.numpy().tobytes() if isinstance(x, torch.Tensor) else np.array(x).tobytes() for x in result]


@pytest.fixture(scope="module")
def single():
    return counted(images())


@pytest.mark.parametrize("order", [[[0, 1], [2, 3, 4, 5, 6]], [[6, 3, 1], [5], [], [4, 0, 2]], [[k] for k in range(7)]])
def test_any_split_gives_the_same_digits(single, order):
    maps = images()
    first, *others = [counted(maps[k] for k in shard) for shard in order]
    for shard in others:
        for metric, other in zip(first, shard, strict=True):
            metric.merge_state(other)
    for metric, whole in zip(first, single, strict=True):
        assert digits(metric.compute()) == digits(whole.compute())


def evaluate_shard(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    shard = images()[:5] if rank == 0 else images()[5:]
    torch.save([digits(metric.compute()) for metric in counted(shard)], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_uneven_shards(single, tmp_path):
    # Forked, since torch takes seconds to import; nothing here runs in threads.
    torch.multiprocessing.start_processes(evaluate_shard, args=(str(tmp_path),), nprocs=2, start_method="fork")
    expected = [digits(metric.compute()) for metric in single]
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == expected


def test_boundary_scores_are_the_stated_means(single):
    per_image, total = [], 0
    for prediction, target in images():
        counts = boundary_counts(prediction, target, CLASSES)
        total = total + counts
        per_image.append(precision_recall_f1(counts)[2].numpy())
    scored = [f1 for f1 in per_image if not np.isnan(f1).all()]
    result = single[1].compute()
    assert result.images == len(scored) == IMAGES - 1
    assert result.mean == pytest.approx(np.mean([np.nanmean(f1) for f1 in scored]), abs=1e-13)
    np.testing.assert_allclose(result.f1, np.nanmean(scored, axis=0), rtol=0, atol=1e-13)
    for got, expected in zip((result.precision, result.recall, result.pooled), precision_recall_f1(total), strict=True):
        assert got.equal(expected)


def test_region_scores_are_those_of_the_confusion_matrix(single):
    assert digits(single[0].compute()) == digits(scores(single[0].confusion))


def test_states_stay_integers(single):
    for metric in pickle.loads(pickle.dumps(single)):
        before = digits(metric.compute())
        metric.half().double().float()
        assert {state.dtype for state in metric.metric_state.values()} == {torch.int64}
        assert digits(metric.compute()) == before
        metric.reset()
        assert not any(state.any() for state in metric.metric_state.values())


def test_forward_scores_one_image_and_counts_it():
    maps = images()[0]
    for metric, other in zip(metrics(), metrics(), strict=True):
        now = metric(*maps)
        other.update(*maps)
        assert digits(now) == digits(metric.compute()) == digits(other.compute())


def test_no_image_with_a_score_is_nan():
    metric = BoundaryF1(3)
    metric.update(torch.zeros(8, 9, dtype=int), torch.full((8, 9), 255))
    metric.update(torch.zeros(8, 9, dtype=int), torch.zeros(8, 9, dtype=int))
    result = metric.compute()
    assert result.images == 0
    assert math.isnan(result.mean)
    assert result.f1.isnan().all()
    assert result.pooled.isnan().all()


def test_label_outside_the_table():
    for metric in metrics():
        with pytest.raises(DataError, match="found 8, expected 0 to 7"):
            metric.update(torch.zeros(2, 2, dtype=int), torch.full((2, 2), 8))
