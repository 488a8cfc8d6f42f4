import numpy as np
import pytest

from sclip_lightning.records import ImageCounts, ImageRecord, fold
from sclip_lightning.reports.course import course, images_of_classes
from tests.records.synthetic import BOUNDARIES, make_record

NAMES = [f"class {i}" for i in range(21)]


@pytest.mark.parametrize("images", [1, 2, 49, 50, 51, 333])
def test_every_point_is_the_result_of_the_images_before_it(images):
    records = [make_record(index) for index in range(images)]
    points = course(records, len(NAMES), BOUNDARIES)
    assert len(points) == min(images, 50)
    assert points[-1][0] == images
    assert [seen for seen, _ in points] == sorted({seen for seen, _ in points})
    for seen, scores in (points[0], points[len(points) // 2], points[-1]):
        expected = fold(records[:seen], NAMES, BOUNDARIES).metrics
        np.testing.assert_array_equal(list(scores.values()), [expected[name] for name in scores])


def test_without_images_there_is_no_course():
    assert course([], 3, BOUNDARIES) == []


def record(id_, *pairs):
    return ImageRecord(id_, ImageCounts(np.array(pairs, np.int64).T))


def test_worst_and_median_image_of_a_class():
    images = [
        record("good", (0, 0, 10)),
        record("bad", (0, 1, 9), (0, 0, 1)),
        record("fair", (0, 0, 5), (0, 1, 5)),
        record("other", (1, 1, 5), (1, 0, 5)),  # class 0 is predicted, but not in the ground truth
    ]
    first, second = images_of_classes(images, ["a", "b", "never"])
    assert first == ("a", 3, "bad", 0.1, "fair", 0.5)
    assert second == ("b", 1, "other", 0.5, "other", 0.5)
