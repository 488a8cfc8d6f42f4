import numpy as np
import pytest

from sclip_lightning.records import ImageCounts, ImageRecord, fold
from sclip_lightning.reports.comparison import class_changes, image_changes, paired_bootstrap, tabulate
from tests.records.synthetic import BOUNDARIES, make_record

CLASSES = [f"class {i}" for i in range(21)]


def table(seed, images=12):
    return tabulate([make_record(index, seed=seed) for index in range(images)], 21, BOUNDARIES)


def test_scores_are_those_of_the_fold():
    records = [make_record(index) for index in range(12)]
    folded = fold(records, CLASSES, BOUNDARIES).metrics
    scores = tabulate(records, 21, BOUNDARIES).scores()
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(folded, abs=1e-14)


def test_a_resample_is_a_fold_over_the_images_drawn():
    records = [make_record(index) for index in range(5)]
    weights = np.array([[2.0, 0, 1, 0, 2]])
    drawn = [record for record, times in zip(records, [2, 0, 1, 0, 2], strict=True) for _ in range(times)]
    expected = fold(drawn, CLASSES, BOUNDARIES).metrics
    scores = tabulate(records, 21, BOUNDARIES).scores(weights)
    assert {name: float(value[0]) for name, value in scores.items()} == pytest.approx(expected, abs=1e-14)


def test_bootstrap():
    a, b = table(0), table(1)
    differences = {difference.metric: difference for difference in paired_bootstrap(a, b, 300)}
    assert list(differences) == ["mIoU", "aAcc", "mAcc", "mF1", *BOUNDARIES]
    for difference in differences.values():
        assert difference.low < difference.high
        assert difference.low <= difference.b - difference.a + 0.05
    assert paired_bootstrap(a, b, 300) == list(differences.values())
    assert paired_bootstrap(a, b, 300, seed=1) != list(differences.values())


def test_the_same_run_twice_differs_by_nothing():
    for difference in paired_bootstrap(table(0), table(0), 100):
        assert (difference.low, difference.high, difference.b - difference.a) == (0, 0, 0)


def test_interval_of_a_mean_is_that_of_statistics():
    """aAcc of images of one size is a mean of their accuracies, whose standard error is known."""
    rng = np.random.default_rng(0)
    right = rng.integers(0, 1000, 400)

    def run(right):
        counts = [np.array([[0, 0], [0, 1], [r, 1000 - r]]) for r in right]
        return tabulate([ImageRecord(str(i), ImageCounts(c)) for i, c in enumerate(counts)], 2, [])

    (difference,) = [d for d in paired_bootstrap(run(right), run(right[::-1])) if d.metric == "aAcc"]
    error = np.std((right[::-1] - right) / 1000) / np.sqrt(400)
    assert difference.high == pytest.approx(1.96 * error, rel=0.1)
    assert difference.low == pytest.approx(-1.96 * error, rel=0.1)


def test_what_changed_most():
    a, b = table(0), table(1)
    for changes in (class_changes(a, b, CLASSES), image_changes(a, b), image_changes(a, b, "bF1@3px")):
        sizes = [abs(change.b - change.a) for change in changes]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > 0
    changed = image_changes(a, b)[0]
    (record,) = [make_record(i) for i in range(12) if make_record(i).id == changed.id]
    assert changed.a == pytest.approx(fold([record], CLASSES, []).metrics["mIoU"])


def test_other_images():
    with pytest.raises(ValueError, match="same images"):
        paired_bootstrap(table(0, 3), table(0, 4))
