import math

import numpy as np
import pytest

from sclip_lightning.reports.comparison import ImageTable, remark_on, score_intervals


def table(hits, true, boundary):
    """N images of one class that is predicted nowhere else."""
    hits, true = (np.array(one, np.float64)[:, None] for one in (hits, true))
    return ImageTable([str(i) for i in range(len(hits))], hits, true, hits, {"bF1": np.array(boundary, np.float64)})


def test_a_mean_over_images_has_the_interval_of_a_mean():
    """1.96 standard errors, which the bootstrap of a mean estimates without its factor n / (n - 1)."""
    values = np.random.default_rng(0).random(200)
    one = next(i for i in score_intervals(table([1] * 200, [2] * 200, values), 4000) if i.metric == "bF1")
    reach = 1.96 * values.std() / math.sqrt(200)
    assert one.score == pytest.approx(values.mean())
    assert (one.score - one.low, one.high - one.score) == (
        pytest.approx(reach, rel=0.05),
        pytest.approx(reach, rel=0.05),
    )
    assert one.images == 200


def test_of_more_images_it_is_narrower():
    rng = np.random.default_rng(1)
    hits = rng.integers(0, 100, 1600)
    few, many = (score_intervals(table(hits[:n], [100] * n, [0.5] * n))[0] for n in (100, 1600))
    assert few.metric == "mIoU"
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.2)


def test_it_ends_at_0_and_1():
    for hits in ([100] * 9 + [0], [0] * 9 + [100]):
        one = score_intervals(table(hits, [100] * 10, [0.5] * 10))[0]
        assert 0 <= one.low < one.score < one.high <= 1
        assert one.low == 0 or one.high == 1


@pytest.mark.parametrize("images", [0, 1])
def test_one_image_has_none(images):
    for one in score_intervals(table([1] * images, [2] * images, [0.5] * images)):
        assert math.isnan(one.low)
        assert math.isnan(one.high)


def test_few_images_have_a_remark():
    found = score_intervals(table([1] * 19, [2] * 19, [0.5] * 19))
    assert "19, fewer than 20" in remark_on(found)
