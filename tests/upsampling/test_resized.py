"""Texts compared with resized features; the recording that has this is compared in ``test_class_share.py``."""

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.decoding import ClassTokenShare, PresencePrior
from sclip_lightning.errors import ConfigError
from sclip_lightning.upsampling import ResizedFeatures
from sclip_lightning.upsampling.resized import resized_cosines
from tests.builders import build_segmentor


def maps_of(example, *steps, image=None, **options):
    model = build_segmentor(example.model, example.queries, example.classes, steps=steps, **options)
    return model.logits(example.image if image is None else image)


@pytest.mark.parametrize("grid", [(3, 5), (1, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize("scale", [1, 2, 16])
def test_equals_cosines_of_resized_features(grid, scale):
    generator = torch.Generator().manual_seed(0)
    features, texts = torch.randn(2, *grid, 8, generator=generator), torch.randn(3, 8, generator=generator)
    texts = F.normalize(texts, dim=-1)
    size = (grid[0] * scale, grid[1] * scale)
    resized = F.interpolate(features.permute(0, 3, 1, 2), size, mode="bilinear").permute(0, 2, 3, 1)
    expected = F.normalize(resized, dim=-1) @ texts.T
    torch.testing.assert_close(resized_cosines(features, texts, scale), expected, atol=2e-6, rtol=0)


def test_features_without_length_give_no_answer():
    assert torch.equal(resized_cosines(torch.zeros(1, 2, 2, 4), torch.eye(4), 2), torch.zeros(1, 4, 4, 4))


@pytest.mark.slow
def test_a_share_of_the_class_token_is_added_to_whatever_grid(example):
    """It is the same for all patches of a window."""
    share, finer = ClassTokenShare(-0.3), ResizedFeatures(4)
    difference = maps_of(example, share, finer) - maps_of(example, finer)
    torch.testing.assert_close(difference, maps_of(example, share) - maps_of(example), atol=1e-5, rtol=0)
    assert difference.abs().max() > 0.01


def test_whatever_changed_the_logits_before_still_counts(example):
    prior = PresencePrior(0.25, 0.04, 0.1, per_window=False)
    finer = ResizedFeatures(2)
    assert (maps_of(example, prior, finer) - maps_of(example, finer)).abs().max() > 0.01


def test_one_position_a_patch_is_the_patch(example):
    torch.testing.assert_close(maps_of(example, ResizedFeatures(1)), maps_of(example), atol=1e-5, rtol=0)


def test_a_position_a_pixel_is_the_default(example):
    assert ResizedFeatures().fitted(12, (16, 16)) == ResizedFeatures(16)
    assert ResizedFeatures(3).fitted(12, (16, 16)) == ResizedFeatures(3)
    with pytest.raises(ConfigError, match=r"17 positions per patch of 16 pixels"):
        ResizedFeatures(17).fitted(12, (16, 16))
