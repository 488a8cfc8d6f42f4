"""Makers without a network follow colours, cover all pixels, and say what they lack."""

import sys

import numpy as np
import pytest
import torch

from sclip_lightning.errors import ConfigError
from sclip_lightning.regions import SLIC, Felzenszwalb

CPU = torch.device("cpu")


@pytest.fixture
def segment(request):
    pytest.importorskip("skimage", reason='needs pip install -e ".[regions]"')
    return request.param.load(CPU).segment


BOTH = pytest.mark.parametrize("segment", [Felzenszwalb(), SLIC()], indirect=True, ids=["felzenszwalb", "slic"])


@BOTH
def test_no_segment_lies_in_two_colours(segment):
    labels = np.add.outer(np.arange(48) // 20, np.arange(60) // 25)
    colours = np.array([[200, 30, 30], [30, 160, 40], [40, 60, 220], [230, 220, 60], [20, 20, 20]], np.uint8)
    segments = segment(colours[labels])
    assert (segments.dtype, segments.shape) == (np.int32, (48, 60))
    assert np.unique(segments).tolist() == list(range(1, segments.max() + 1))
    inside = [labels[segments == number] for number in np.unique(segments)]
    mixed = sum((values != np.bincount(values).argmax()).sum() for values in inside)
    assert mixed <= 0.02 * labels.size  # the blur before moves edges by a pixel
    assert len(inside) >= 5


@BOTH
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 40)])
def test_small_images(segment, size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    segments = segment(rgb)
    assert segments.shape == size
    assert segments.min() == 1


def test_its_numbers_count():
    pytest.importorskip("skimage", reason='needs pip install -e ".[regions]"')
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    def number(maker):
        return maker.load(CPU).segment(rgb).max()

    assert number(SLIC(20)) < number(SLIC(100))
    assert number(Felzenszwalb(min_size=200)) < number(Felzenszwalb(min_size=20))
    assert number(Felzenszwalb(scale=1e5)) < number(Felzenszwalb(scale=10))
    assert number(Felzenszwalb(sigma=0)) != number(Felzenszwalb(sigma=2))
    assert SLIC(20).load(CPU).settings == {"segments": 20, "compactness": 10, "sigma": 1}


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Felzenszwalb(scale=0), "scale"),
        (lambda: SLIC(segments=1.5), "segments"),
        (lambda: SLIC(sigma=-1), "sigma"),
    ],
)
def test_numbers_outside_their_range(make, option):
    with pytest.raises(ConfigError, match=f"--maker: .*{option} is "):
        make()


def test_without_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ConfigError, match=r'Felzenszwalb needs scikit-image .*pip install -e "\.\[regions\]"'):
        Felzenszwalb().load(CPU)
