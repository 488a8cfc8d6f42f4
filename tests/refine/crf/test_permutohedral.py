"""The lattice against a slow one made of dictionaries, and properties of the filter."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine.crf import permutohedral
from sclip_lightning.refine.crf.features import image_features, pixel_features
from sclip_lightning.refine.crf.permutohedral import PermutohedralLattice


def simplex(point):
    """The corners of the simplex around a point and their weights, {key: weight}."""
    d = len(point)
    deviation = np.float32(math.sqrt(2 / 3) * (d + 1))
    scaled = [f * np.float32(deviation / math.sqrt((i + 1) * (i + 2))) for i, f in enumerate(point)]
    elevated, total = [], np.float32(0)
    for j in range(d, 0, -1):
        elevated.insert(0, total - np.float32(j) * scaled[j - 1])
        total += scaled[j - 1]
    elevated.insert(0, total)

    base = [int(np.round(e / np.float32(d + 1))) * (d + 1) for e in elevated]
    descending = sorted(range(d + 1), key=lambda i: -(elevated[i] - base[i]))
    excess = sum(base) // (d + 1)
    # Too high a sum: the coordinates that were rounded up most go down, and the other way round.
    for _ in range(excess):
        descending.insert(0, descending.pop())
        base[descending[0]] -= d + 1
    for _ in range(-excess):
        descending.append(descending.pop(0))
        base[descending[-1]] += d + 1

    rest = [float(elevated[i] - base[i]) / (d + 1) for i in descending]
    weights = [rest[-1] + 1 - rest[0], *(rest[d - r] - rest[d - r + 1] for r in range(1, d + 1))]
    corners = {}
    for r, weight in enumerate(weights):
        key = list(base)
        for place, i in enumerate(descending):
            key[i] += r if place <= d - r else r - (d + 1)
        corners[tuple(key)] = weight
    return corners


def slow_filter(features, values):
    """G(values): splat, blur, slice; ``features`` [N, d] and ``values`` [N, C]."""
    d = features.shape[1]
    corners = [simplex(point) for point in features]
    lattice = defaultdict(lambda: np.zeros(values.shape[1]))
    for point, value in zip(corners, values, strict=True):
        for key, weight in point.items():
            lattice[key] = lattice[key] + weight * value
    if len(features) % 4:
        for key in simplex(np.zeros(d, np.float32)):
            lattice[key] += 0
    for j in range(d + 1):
        step = np.full(d + 1, -1)
        step[j] = d
        lattice = {
            key: value + 0.5 * sum(lattice.get(tuple(np.array(key) + sign * step), 0) for sign in (1, -1))
            for key, value in lattice.items()
        }
    return np.stack([sum(w * lattice[key] for key, w in point.items()) for point in corners]) / (1 + 2.0**-d)


def normalised_slow_filter(features, values):
    norm = 1 / np.sqrt(slow_filter(features, np.ones((len(features), 1))) + 1e-20)
    return norm * slow_filter(features, norm * values)


@pytest.fixture
def image():
    return torch.randint(0, 256, (3, 7, 9), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("sxy", [0.8, 3, [5, 2]])
def test_positions_match_the_slow_lattice(sxy):
    features = pixel_features(7, 9, sxy, torch.device("cpu"))
    values = torch.rand(63, 2)
    expected = normalised_slow_filter(features.numpy(), values.double().numpy())
    np.testing.assert_allclose(PermutohedralLattice(features).filter(values), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("sxy", "srgb"), [(80, 13), (4, 60), ([40, 30], [13, 100, 200]), (1, 3)])
@pytest.mark.parametrize("height", [6, 7])  # 6 x 9 and 7 x 9 pixels: neither is a multiple of 4 ...
@pytest.mark.parametrize("width", [8, 9])  # ... 8 pixels wide they are
def test_colours_match_the_slow_lattice(image, sxy, srgb, height, width):
    features = image_features(image[:, :height, :width], sxy, srgb)
    values = torch.rand(len(features), 3)
    expected = normalised_slow_filter(features.numpy(), values.double().numpy())
    np.testing.assert_allclose(PermutohedralLattice(features).filter(values), expected, atol=1e-6)


def test_vertices_of_padding_points_take_part():
    """A dark top left corner: the four vertices of the origin are neighbours of vertices in use."""
    features = torch.tensor([[1.2, 0.3], [0.4, 1.9], [2.2, 2.1]])
    expected = normalised_slow_filter(features.numpy(), np.eye(3))
    np.testing.assert_allclose(PermutohedralLattice(features).filter(torch.eye(3)), expected, atol=1e-6)


@pytest.mark.parametrize("block", [1, 5, 16, 1000])
def test_blocks_do_not_matter(image, monkeypatch, block):
    features, values = image_features(image, 10, 60), torch.rand(63, 4)
    expected = PermutohedralLattice(features).filter(values)
    monkeypatch.setattr(permutohedral, "CPU_BLOCK", block)
    torch.testing.assert_close(PermutohedralLattice(features).filter(values), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("widths", [0, -1.0, [1, 2, 3, 4], [3, 0], math.nan])
def test_bad_widths_are_refused(image, widths):
    with pytest.raises(ConfigError, match="width"):
        image_features(image, widths, 13)


def test_a_lattice_too_large_to_number_is_refused():
    corners = torch.tensor(list(itertools.product([0.0, 1e5], repeat=5)))
    with pytest.raises(ConfigError, match="64 bits"):
        PermutohedralLattice(corners)
