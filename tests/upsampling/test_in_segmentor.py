"""LoftUp between the tower and the merge."""

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.decoding import LastBlock
from sclip_lightning.decoding.feedback import SemanticFeedback
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.upsampling import LoftUp
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from sclip_lightning.windows.grid import window_grid
from sclip_lightning.windows.merge import MergedLogits
from tests.builders import build_segmentor, build_tower, patch_logits, value_tokens
from tests.golden import Recording
from tests.tiny_clip import from_state

FEATURIZER = Recording("loftup_featurizer")


@FEATURIZER.each("case/{size}/out")
def test_value_path_is_the_featurizer_of_the_recording(size):
    model = from_state(FEATURIZER.state("sd/"), FEATURIZER.json("cfg")["heads"])
    tokens, grid = value_tokens(build_tower(model), FEATURIZER.tensor(f"case/{size}/img"))
    features = tokens[:, 1:].mT.unflatten(2, grid)
    torch.testing.assert_close(features, FEATURIZER.tensor(f"case/{size}/out"), atol=1e-4, rtol=0)


@pytest.fixture
def segmentor(example):
    """Builds a segmentor of the example with a random LoftUp of its width."""
    torch.manual_seed(0)
    network = load_loftup(None, dim=64)

    def build(attention="sclip", feedback=None, **options):
        steps = [LoftUp(**options)] if options else []
        names = (example.queries, example.classes)
        return build_segmentor(
            example.model, *names, attention, sfr=feedback, steps=steps, networks={"loftup": network}
        )

    return build


@pytest.fixture
def image(example):
    return example.image[..., :230, :250]


def test_radius_zero_repeats_every_patch(segmentor, image):
    """Then the upsampled logits are the patches' own, and the merge of a repeated grid is known."""
    plain = segmentor()
    grid = window_grid(230, 250, 224, 112)
    windows = torch.cat([image[..., y : y + 224, x : x + 224] for y in grid.tops for x in grid.lefts])
    logits = patch_logits(plain, windows)
    repeated = logits.unflatten(1, (14, 14)).repeat_interleave(3, 1).repeat_interleave(3, 2)
    expected = MergedLogits(repeated, grid, (90, 100)).full()
    actual = segmentor(scale=3, radius=0).logits(image, (90, 100))[0]
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_each_mode_changes_the_output(segmentor, image):
    base = segmentor().logits(image, (90, 100))
    affinity = segmentor(mode="affinity").logits(image, (90, 100))
    direct = segmentor(mode="direct").logits(image, (90, 100))
    assert (base - affinity).abs().max() > 1e-3
    assert (direct - affinity).abs().max() > 1e-3
    assert direct.abs().max() <= 1 + 1e-5


def test_affinity_stays_within_the_patches_logits(segmentor, image):
    window = image[..., :224, :224]
    logits = patch_logits(segmentor(), window)[0]
    mixed = patch_logits(segmentor(temperature=5.0, radius=None), window)[0]
    assert mixed.shape == (4 * 196, logits.shape[1])
    assert (mixed.amax(0) <= logits.amax(0) + 1e-5).all()
    assert (mixed.amin(0) >= logits.amin(0) - 1e-5).all()


@pytest.mark.slow
def test_works_over_resclip(segmentor, image):
    sfr = SemanticFeedback(1.8, 0.7, 0.25, 40.0)
    with_feedback = segmentor("naclip", sfr, scale=2).logits(image, (60, 70))
    assert with_feedback.isfinite().all()
    assert (with_feedback - segmentor("naclip", scale=2).logits(image, (60, 70))).abs().max() > 1e-4


def test_direct_mode_refuses_parts_that_would_change_nothing():
    with pytest.raises(ConfigError, match=r"SemanticFeedback could change nothing"):
        SegmentorOptions(decoder=LastBlock("naclip", sfr=True), upsampler=LoftUp(mode="direct"))
    SegmentorOptions(decoder=LastBlock("naclip", sfr=True), upsampler=LoftUp(mode="affinity"))


def test_remainder_pixels_guide_nothing(segmentor, image):
    """Patches cover 224 of the 230 rows of a whole image; what lies beyond must not shift the guidance."""
    windows = image[..., :224]
    longer = F.pad(windows[..., :224, :], (0, 0, 0, 6), value=3.0)
    upsampled = segmentor(scale=2)
    torch.testing.assert_close(patch_logits(upsampled, longer), patch_logits(upsampled, windows[..., :224, :]))


def test_the_finest_grid_is_the_pixels(segmentor, image):
    assert patch_logits(segmentor(scale=16), image[..., :32, :48]).shape[1] == 32 * 48
    with pytest.raises(ConfigError, match=r"--model\.upsampler\.scale"):
        segmentor(scale=17)


@pytest.mark.parametrize("options", [{"scale": 0}, {"temperature": -1.0}, {"radius": -1}])
def test_numbers_out_of_range_are_refused(segmentor, options):
    with pytest.raises(ConfigError, match=rf"--model\.upsampler: LoftUp's {next(iter(options))} is"):
        segmentor(**options)
