"""ResCLIP as a whole, against the recordings of the authors' code (tolerances: tests/goldens/README.md)."""

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.decoding.feedback import SemanticFeedback
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.recall import Recall
from sclip_lightning.refine.pamr import PAMR
from tests.builders import (
    build_head,
    build_segmentor,
    build_tower,
    final_tokens,
    first_pass_logits,
    patch_logits,
    patch_maps,
    source_attention,
)
from tests.recordings import RESCLIP, resclip, resclip_box, resclip_sampled, resclip_wide
from tests.tiny_clip import TINY, build

FEATURES, LOGITS = 5e-5, 5e-6
RCS, SFR = ResidualAttention(2.0, 0.4), SemanticFeedback(1.8, 0.7, 0.25, 40.0)
#: What several recordings show of one computation is computed once.
COMPUTED = Recall()
#: Of the recorded predictions; the recording's README has it, the file does not.
PROB_THRESHOLD = 0.3
#: Of the recorded probabilities; PAMR divides by local deviations, so nearly flat areas amplify rounding.
PROBABILITIES = {"slide": 1e-4, "whole": 1e-4, "slide_pamr": 1e-3}


def recorded_sfr(**numbers):
    """The recording's semantic feedback, but for the numbers given."""
    settings = RESCLIP.json()
    tau, lam = settings["attn_sfr_weights"]
    recorded = {
        "tau": tau,
        "lam": lam,
        "threshold": settings["temp_thd"],
        "logit_scale": settings["logit_scale"],
        "gaussian_std": settings["gaussian_std"],
        "line_of_sight": settings["delete_same_entity"],
    }
    return SemanticFeedback(**recorded | numbers)


def recorded_segmentor(variant="naclip_wo_resi", mode="rcs_sfr", std=None, rcs=None, sfr=None, **options):
    """A variant of the recording, by the name it has there, but for the numbers given."""
    settings, recorded = RESCLIP.json(), resclip()
    attention, residual, _ = variant.split("_")
    rcs = rcs or ResidualAttention(*settings["attn_rcs_weights"])
    return build_segmentor(
        recorded.model,
        recorded.queries,
        recorded.classes,
        attention,
        residual == "w",
        gaussian_std=std or settings["gaussian_std"],
        rcs=rcs if "rcs" in mode else None,
        sfr=(sfr or recorded_sfr()) if "sfr" in mode else None,
        **{"crop": recorded.crop, "stride": recorded.stride, "recall": COMPUTED} | options,
    )


@pytest.mark.slow
@RESCLIP.each("crop/{variant}/{mode}/features")
def test_features_match_the_recording(variant, mode):
    features = final_tokens(recorded_segmentor(variant, mode), resclip_box("crop"))[0]
    expected = RESCLIP.tensor(f"crop/{variant}/{mode}/features")
    torch.testing.assert_close(features, expected, atol=FEATURES, rtol=0)


@RESCLIP.each("crop/{variant}/{mode}/patch_logits")
def test_crop_matches_the_recording(variant, mode):
    logits = patch_maps(recorded_segmentor(variant, mode), resclip_box("crop"))[0]
    expected = RESCLIP.tensor(f"crop/{variant}/{mode}/patch_logits")
    torch.testing.assert_close(logits, expected, atol=LOGITS, rtol=0)


@pytest.mark.slow
@RESCLIP.each("slide/{variant}/{mode}/logits")
def test_slide_matches_the_recording(variant, mode):
    logits = recorded_segmentor(variant, mode).logits(resclip_wide())[0]
    expected = RESCLIP.tensor(f"slide/{variant}/{mode}/logits")
    torch.testing.assert_close(resclip_sampled(logits), expected, atol=LOGITS, rtol=0)
    argmax = RESCLIP.tensor(f"slide/{variant}/{mode}/argmax")
    assert (logits.argmax(dim=0) == argmax).float().mean() >= 0.999


@RESCLIP.each("crop_hp/{benchmark}/patch_logits")
def test_settings_of_every_benchmark(benchmark):
    threshold, rcs, (tau, lam) = RESCLIP.json()["config_hp"][benchmark]
    sfr = recorded_sfr(tau=tau, lam=lam, threshold=threshold)
    segmentor = recorded_segmentor(rcs=ResidualAttention(*rcs), sfr=sfr)
    expected = RESCLIP.tensor(f"crop_hp/{benchmark}/patch_logits")
    torch.testing.assert_close(patch_maps(segmentor, resclip_box("crop"))[0], expected, atol=LOGITS, rtol=0)


@RESCLIP.each("crop_opt/std{std}/patch_logits")
def test_other_windows(std):
    segmentor = recorded_segmentor(std=float(std), sfr=recorded_sfr(gaussian_std=float(std)))
    expected = RESCLIP.tensor(f"crop_opt/std{std}/patch_logits")
    torch.testing.assert_close(patch_maps(segmentor, resclip_box("crop"))[0], expected, atol=LOGITS, rtol=0)


@RESCLIP.each("crop_opt/delete{delete}/patch_logits")
def test_other_lines_of_sight(delete):
    segmentor = recorded_segmentor(sfr=recorded_sfr(line_of_sight=delete == "1"))
    expected = RESCLIP.tensor(f"crop_opt/delete{delete}/patch_logits")
    torch.testing.assert_close(patch_maps(segmentor, resclip_box("crop"))[0], expected, atol=LOGITS, rtol=0)


@pytest.mark.slow
@RESCLIP.each("whole/{variant}/{mode}/patch_logits")
def test_whole_image_matches_the_recording(variant, mode):
    logits = patch_maps(recorded_segmentor(variant, mode), resclip_wide())[0]
    expected = RESCLIP.tensor(f"whole/{variant}/{mode}/patch_logits")
    torch.testing.assert_close(logits, expected, atol=LOGITS, rtol=0)


@pytest.mark.slow
@RESCLIP.each("slide{which}/logits")
def test_images_that_windows_do_not_divide(which):
    """The whole width, where the last window is shifted back, and an image lower than a window."""
    image = resclip_box("small") if which == "_small" else resclip().image
    logits = resclip_sampled(recorded_segmentor().logits(image)[0])
    torch.testing.assert_close(logits, RESCLIP.tensor(f"slide{which}/logits"), atol=LOGITS, rtol=0)


@pytest.mark.slow
@RESCLIP.each("whole{width}/{variant}/{mode}/logits")
def test_remainder_of_a_whole_image(width, variant, mode):
    logits = resclip_sampled(recorded_segmentor(variant, mode, crop=0).logits(resclip().image)[0])
    expected = RESCLIP.tensor(f"whole{width}/{variant}/{mode}/logits")
    torch.testing.assert_close(logits, expected, atol=LOGITS, rtol=0)


@pytest.mark.slow
@RESCLIP.each("predict/{mode}/probs")
def test_predictions_match_the_recording(mode):
    scale, size = RESCLIP.json()["logit_scale"], RESCLIP[f"predict/{mode}/pred"].shape
    options = {"refiners": [PAMR()]} if mode == "slide_pamr" else {"crop": 0} if mode == "whole" else {}
    segmentor = recorded_segmentor(head=build_head(scale, PROB_THRESHOLD), **options)
    probabilities = segmentor.probabilities(resclip_wide(), size)[0]
    probabilities = resclip_sampled(probabilities / probabilities.sum(dim=0))
    expected = RESCLIP.tensor(f"predict/{mode}/probs")
    torch.testing.assert_close(probabilities, expected, atol=PROBABILITIES[mode], rtol=0)
    labels = segmentor.predict(resclip_wide(), size)[0]
    assert (labels == RESCLIP.tensor(f"predict/{mode}/pred")).float().mean() >= 0.999


@RESCLIP.each("predict/no_samples/pred")
def test_predictions_at_the_size_of_the_image_match_the_recording():
    segmentor = recorded_segmentor(head=build_head(RESCLIP.json()["logit_scale"]))
    labels = segmentor.predict(resclip_wide())[0]
    assert (labels == RESCLIP.tensor("predict/no_samples/pred")).float().mean() >= 0.999


@RESCLIP.each("crop_detail/attn_rcs_rows{step}")
def test_source_attention_matches_the_recording(step):
    rcs = ResidualAttention(*RESCLIP.json()["attn_rcs_weights"])
    mean = source_attention(build_tower(resclip().model, "naclip", False), rcs, resclip_box("crop"))[0]
    expected = RESCLIP.tensor(f"crop_detail/attn_rcs_rows{step}")
    torch.testing.assert_close(mean[:, :: int(step)], expected, atol=1e-6, rtol=0)


@pytest.fixture
def build_example(example):
    def build_example(attention="naclip", rcs=RCS, sfr=SFR, **options):
        model, names = example.model, (example.queries, example.classes)
        return build_segmentor(model, *names, attention, rcs=rcs, sfr=sfr, **options)

    return build_example


@pytest.mark.parametrize("attention", ["vanilla", "maskclip", "sclip", "clearclip", "naclip"])
def test_each_switch_changes_the_output(example, build_example, attention):
    crop = example.image[..., :96, :96]
    base = patch_logits(build_example(attention, None, None), crop)
    rcs = patch_logits(build_example(attention, RCS, None), crop)
    assert (base - rcs).abs().max() > 1e-4
    if attention != "maskclip":
        sfr = patch_logits(build_example(attention, None, SFR), crop)
        both = patch_logits(build_example(attention, RCS, SFR), crop)
        assert (base - sfr).abs().max() > 1e-4
        assert (both - sfr).abs().max() > 1e-4


def test_neutral_settings_are_the_base(example, build_example):
    crop = example.image[..., :96, :96]
    base = patch_logits(build_example(rcs=None, sfr=None), crop)
    neutral = build_example(rcs=ResidualAttention(1.0, 0.0), sfr=SemanticFeedback(1.0, 0.0, 0.25, 40.0))
    torch.testing.assert_close(patch_logits(neutral, crop), base, atol=1e-6, rtol=0)


def test_windows_at_once_equal_one_by_one(example, build_example):
    image, windows = example.image[..., :128, :176], {"crop": 80, "stride": 48}
    at_once = build_example(window_batch_size=6, **windows).logits(image)
    one_by_one = build_example(window_batch_size=1, **windows).logits(image)
    torch.testing.assert_close(at_once, one_by_one, atol=LOGITS, rtol=0)


def test_residual_attention_equals_its_formula():
    q, k, v = torch.randn(3, 2, 2, 9, 8)
    others = [tuple(torch.randn(2, 2, 2, 9, 8)) for _ in range(3)]
    scale = 8**-0.5
    mean = torch.stack([(scale * a @ b.mT).softmax(-1) for a, b in others]).mean(0)
    own = (scale * q @ k.mT).softmax(-1)
    rcs = ResidualAttention(2.0, 0.3)
    torch.testing.assert_close(rcs.mix(own @ v, rcs.cross(others, v)), 2 * (0.7 * own + 0.3 * mean) @ v)


def test_shallow_towers_are_refused():
    model = build(TINY | {"vision_cfg": TINY["vision_cfg"] | {"layers": 4}})
    with pytest.raises(ConfigError, match=r"6 to 9, but this tower has 4.*--model.decoder.rcs.first_layer"):
        build_tower(model, rcs=RCS)
    build_tower(model, rcs=ResidualAttention(2.0, 0.4, 2, 3))


def test_unit_vectors_of_the_first_pass(example, build_example):
    """The first pass already has RCS in it: its logits are those of RCS alone."""
    segmentor = build_example()
    crop = example.image[..., :224, :224]
    first = first_pass_logits(segmentor, crop)
    assert torch.equal(first, patch_logits(build_example(sfr=None), crop))
    assert F.cosine_similarity(first.flatten(), patch_logits(segmentor, crop).flatten(), dim=0) < 0.9999
