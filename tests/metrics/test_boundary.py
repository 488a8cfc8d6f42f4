"""Boundary counts against recordings, a brute-force matcher and counting by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.metrics import boundary_counts, boundary_counts_at, fill_void, precision_recall_f1
from tests.golden import Recording

GOLDEN = Recording("boundary")


def random_maps(seed, shape, classes=4, ignored=0.15):
    """Patchy maps: nearest-centre regions, those of the prediction moved a little, and patches of ignored pixels."""
    random = np.random.default_rng(seed)
    pixels = np.stack(np.indices(shape), axis=-1)[:, :, None]
    centres = random.random((12, 2)) * shape
    moved = centres + random.normal(0, 1.5, centres.shape)
    labels = random.integers(0, classes, 12)
    target, prediction = (labels[((pixels - x) ** 2).sum(-1).argmin(-1)] for x in (centres, moved))
    patches = random.random((shape[0] // 4 + 1, shape[1] // 4 + 1)) < ignored
    return prediction, np.where(np.kron(patches, np.ones((4, 4)))[: shape[0], : shape[1]] > 0, 255, target)


def brute_force(prediction, target, classes, theta):
    """Every contour pixel against every other, class by class, void not filled."""
    height, width = target.shape

    def contour(labels, c):
        found = []
        for y, x in zip(*np.nonzero(labels == c), strict=True):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            around = [labels[i, j] for i, j in around if 0 <= i < height and 0 <= j < width]
            if any(label not in (c, 255) for label in around):
                found.append((y, x))
        return np.array(found, dtype=int).reshape(-1, 2)

    def near(points, others):
        squares = ((points[:, None] - others[None]) ** 2).sum(-1)
        return (squares < theta**2).any(1)

    void = np.argwhere(target == 255)
    rows = []
    for c in range(classes):
        true, predicted = contour(target, c), contour(prediction, c)
        predicted_labelled = predicted[target[tuple(predicted.T)] != 255]
        hit = near(predicted_labelled, true)
        judged = hit | ~near(predicted_labelled, void)
        rows.append([judged.sum(), len(true), hit.sum(), near(true, predicted).sum()])
    return np.array(rows)


@GOLDEN.each("{k}_bf_counts")
def test_goldens(k):
    prediction, target = GOLDEN.tensor(f"{k}_pred"), GOLDEN.tensor(f"{k}_gt")
    counts = boundary_counts(prediction, target, int(GOLDEN["num_classes"]), fill=False)
    np.testing.assert_array_equal(counts, GOLDEN[f"{k}_bf_counts"])
    for values, name in zip(precision_recall_f1(counts), "PRF", strict=True):
        np.testing.assert_allclose(values, GOLDEN[f"{k}_bf_{name}"], rtol=0, atol=1e-12)


@GOLDEN.each("{k}_bffill_F")
def test_goldens_with_thin_void_filled(k):
    prediction, target = GOLDEN.tensor(f"{k}_pred"), GOLDEN.tensor(f"{k}_gt")
    _, _, f1 = precision_recall_f1(boundary_counts(prediction, target, int(GOLDEN["num_classes"])))
    np.testing.assert_allclose(f1, GOLDEN[f"{k}_bffill_F"], rtol=0, atol=0.005)


@pytest.mark.parametrize("shape", [(30, 41), (1, 40), (40, 1), (3, 5)])
@pytest.mark.parametrize("theta", [1, 1.2, 2, 3.5, 9.3])
def test_against_brute_force(shape, theta):
    for seed in range(4):
        prediction, target = random_maps(seed, shape)
        counts = boundary_counts(torch.from_numpy(prediction), torch.from_numpy(target), 4, theta, fill=False)
        np.testing.assert_array_equal(counts, brute_force(prediction, target, 4, theta))


@pytest.mark.parametrize("shape", [(30, 41), (1, 40), (40, 1)])
@pytest.mark.parametrize("theta", [0.5, 1, 2.3, 5, 60])
def test_fill_is_nearest(shape, theta):
    for seed in range(4):
        _, target = random_maps(seed, shape, ignored=0.6)
        filled = fill_void(torch.from_numpy(target).to(torch.uint8), theta)
        assert filled.dtype == torch.uint8
        distance = distance_transform_edt(target == 255) if (target != 255).any() else np.full(shape, np.inf)
        np.testing.assert_array_equal(filled == 255, distance > theta)
        # The new label occurs at exactly the distance of the nearest labelled pixel.
        for label in np.unique(filled[filled != 255]):
            own = distance_transform_edt(target != label)
            got = filled.numpy() == label
            np.testing.assert_array_equal(own[got], distance[got])


def test_fill_then_count_is_count_with_fill():
    prediction, target = (torch.from_numpy(x) for x in random_maps(5, (30, 41)))
    filled = boundary_counts(prediction, fill_void(target, 3), 4, 3, fill=False)
    assert boundary_counts(prediction, target, 4, 3).equal(filled)


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("shape", [(30, 41), (1, 40), (40, 1), (97, 70)])
def test_several_tolerances_at_once_are_each_by_itself(shape, fill):
    """Void makes the contours that are filled less far others than those of the largest tolerance."""
    tolerances = [3, 0.0075, 9.3, 1, 0.2]
    for seed in range(3):
        maps = [torch.from_numpy(x) for x in random_maps(seed, shape, classes=70, ignored=0.4)]
        together = boundary_counts_at(tolerances, *maps, 70, fill=fill)
        for tolerance, counts in zip(tolerances, together, strict=True):
            assert counts.equal(boundary_counts(*maps, 70, tolerance, fill=fill))


def test_labels_that_are_ruled_out_by_cells_are_farther_than_the_tolerance():
    """Of one class there are two pixels, at every distance and direction up to beyond two cells."""
    for distance in range(1, 20):
        for step in ((0, distance), (distance, 0), (distance, distance)):
            target, prediction = torch.zeros(60, 60, dtype=int), torch.zeros(60, 60, dtype=int)
            target[20, 21], prediction[20 + step[0], 21 + step[1]] = 1, 1
            hit = [int(np.hypot(*step) < theta) for theta in (2, 7.5, 18)]
            counts = boundary_counts_at([2, 7.5, 18], prediction, target, 2)
            assert [one[1].tolist() for one in counts] == [[1, 1, h, h] for h in hit]


def test_fill_ties_and_reach():
    row = torch.tensor([[1, 255, 2, 255, 255, 255, 255, 3]])
    assert fill_void(row, 1).tolist() == [[1, 1, 2, 2, 255, 255, 3, 3]]
    assert row.tolist() == [[1, 255, 2, 255, 255, 255, 255, 3]]  # the input is left alone
    assert fill_void(row.T, 1).tolist() == [[1], [1], [2], [2], [255], [255], [3], [3]]
    square = torch.tensor([[255, 2], [1, 255]])  # the same column counts before the neighbouring one
    assert fill_void(square, 1).tolist() == [[1, 2], [1, 2]]


def test_by_hand():
    """A boundary moved by one column in 4 x 5 pixels, with the last column of one row ignored."""
    target = torch.tensor([[0, 0, 1, 1, 1]] * 3 + [[0, 0, 1, 1, 255]])
    prediction = torch.tensor([[0, 0, 0, 1, 1]] * 4)
    # At 1 pixel only the pixels of the same place and class match: none. (3, 3) lies at distance 1 from the void.
    assert boundary_counts(prediction, target, 2, 1, fill=False).tolist() == [[4, 4, 0, 0], [4, 4, 0, 0]]
    assert boundary_counts(prediction, target, 2, 1.1, fill=False).tolist() == [[4, 4, 4, 4], [4, 4, 4, 4]]
    far = torch.tensor([[0, 0, 0, 0, 1]] * 4)
    # Missed at 1.1 pixels; (3, 3) of class 0 is next to the void and (3, 4) of class 1 on it: neither is judged.
    counts = boundary_counts(far, target, 2, 1.1, fill=False)
    assert counts.tolist() == [[3, 4, 0, 0], [2, 4, 0, 0]]


def test_tie_of_tolerance_and_distance_is_a_miss():
    """0.75 % of the diagonal of 400 x 400 pixels is the root of 18, the distance of a step (3, 3)."""
    target, prediction = torch.zeros(400, 400, dtype=int), torch.zeros(400, 400, dtype=int)
    target[200, 200], prediction[203, 203] = 1, 1
    assert boundary_counts(prediction, target, 2)[1].tolist() == [1, 1, 0, 0]
    assert boundary_counts(prediction, target, 2, 4.25)[1].tolist() == [1, 1, 1, 1]


def test_tolerance_below_a_pixel_matches_same_place_only():
    target = torch.tensor([[0, 0, 1, 1]])
    assert boundary_counts(target, target, 2).tolist() == [[1, 1, 1, 1]] * 2
    assert boundary_counts(torch.tensor([[0, 1, 1, 1]]), target, 2).tolist() == [[1, 1, 0, 0]] * 2


def test_scores_of_special_counts():
    counts = torch.tensor([[0, 5, 0, 2], [0, 5, 0, 0], [9, 5, 0, 0], [9, 0, 0, 0], [4, 5, 2, 5]])
    precision, recall, f1 = precision_recall_f1(counts)
    nan = torch.nan
    expected = torch.tensor([[1, 0, 0, nan, 0.5], [0.4, 0, 0, nan, 1], [4 / 7, 0, 0, nan, 2 / 3]], dtype=torch.float64)
    torch.testing.assert_close(torch.stack([precision, recall, f1]), expected, rtol=0, atol=1e-15, equal_nan=True)


def test_nothing_to_score():
    prediction = torch.arange(12).view(3, 4) % 2
    for target in (torch.full((3, 4), 255), torch.zeros(3, 4, dtype=int)):
        counts = boundary_counts(prediction, target, 2, 2)
        assert counts[:, 1].tolist() == [0, 0]
        assert all(values.isnan().all() for values in precision_recall_f1(counts))


def test_many_classes_and_dtypes():
    prediction, target = random_maps(3, (50, 60), classes=163)
    expected = brute_force(prediction, target, 171, 3)
    for dtype in (torch.uint8, torch.uint16, torch.int32):
        maps = (torch.from_numpy(x).to(dtype) for x in (prediction, target))
        np.testing.assert_array_equal(boundary_counts(*maps, 171, 3, fill=False), expected)


def test_more_classes_than_a_byte_holds():
    prediction, target = random_maps(4, (30, 41), classes=5)
    expected = brute_force(prediction, target, 5, 3)
    scale = np.append(np.arange(5) * 100, np.full(251, 999))  # 4 becomes 400, and 255 what is ignored
    maps = torch.from_numpy(prediction * 100), torch.from_numpy(scale[target])
    counts = boundary_counts(*maps, 401, 3, ignore_index=999, fill=False)
    np.testing.assert_array_equal(counts[::100], expected)
    assert counts.sum() == expected.sum()


def test_bad_input():
    labels = torch.zeros(3, 4, dtype=int)
    with pytest.raises(DataError, match="found 7"):
        boundary_counts(labels, labels + 7, 2)
    for tolerance in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="positive"):
            boundary_counts(labels, labels, 2, tolerance)
