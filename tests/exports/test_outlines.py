"""Outlines of masks: what is drawn inside of them is the mask again, to the pixel."""

import cv2
import numpy as np
import pytest

from sclip_lightning.exports.outlines import polygons_of, simplified


def area(ring):
    x, y = ring.T
    return (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2


def filled(rings, shape):
    """Pixels with an odd number of edges to their left."""
    inside = np.zeros(shape, bool)
    for ring in rings:
        for (x, y), (next_x, next_y) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if x == next_x:
                inside[min(y, next_y) : max(y, next_y), x:] ^= True
    return inside


def masks():
    rng = np.random.default_rng(0)
    for _ in range(60):
        yield rng.random(rng.integers(1, 14, 2)) < rng.uniform(0.1, 0.9)
    yield np.ones((3, 5), bool)
    yield np.indices((6, 7)).sum(axis=0) % 2 == 0


def test_polygons_hold_the_very_pixels():
    for mask in masks():
        polygons = polygons_of(mask)
        number, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
        assert len(polygons) == number - 1
        together = np.zeros(mask.shape, int)
        for outer, holes in polygons:
            assert area(outer) > 0
            assert all(area(hole) < 0 for hole in holes)
            together += filled([outer, *holes], mask.shape)
        np.testing.assert_array_equal(together, mask)
    assert polygons_of(np.zeros((4, 4), bool)) == []


def test_a_ring_has_its_hole():
    mask = np.ones((3, 4), bool)
    mask[1, 1] = False
    ((outer, (hole,)),) = polygons_of(mask)
    assert outer.tolist() == [[0, 0], [4, 0], [4, 3], [0, 3]]
    assert sorted(hole.tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 5.0])
def test_no_corner_is_further_away_than_the_tolerance(tolerance):
    noise = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    polygons = polygons_of(cv2.resize(noise, (300, 300), interpolation=cv2.INTER_CUBIC) > 0)
    for ring in (ring for outer, holes in polygons for ring in (outer, *holes)):
        fewer = simplified(ring, tolerance)
        start, way = fewer, np.roll(fewer, -1, axis=0) - fewer
        offsets = ring[:, None] - start
        place = np.clip((offsets * way).sum(-1) / (way**2).sum(-1), 0, 1)
        away = np.linalg.norm(offsets - place[..., None] * way, axis=-1).min(axis=1)
        assert away.max() <= tolerance + 1e-9
        assert 3 <= len(fewer) < len(ring)


def test_what_would_vanish_stays():
    ((outer, _),) = polygons_of(np.ones((1, 1), bool))
    assert simplified(outer, 3.0).tolist() == outer.tolist()
    assert simplified(outer, 0).tolist() == outer.tolist()
