"""PEARL's attention against the recording of its authors' code."""

import pytest
import torch

from sclip_lightning.decoding import LastBlock, ProcrustesAttention
from sclip_lightning.decoding.pearl import alignment
from sclip_lightning.errors import ConfigError
from tests.builders import decoded, joined, patch_maps
from tests.pearl import GOLDEN, box, decoder, image, narrow, prediction, segmentor
from tests.recordings import classes_of

#: As the recording's README has it; twelve iterations divide by small singular values.
LOGITS, MANY_ITERATIONS, TOKENS, TURN, ATTENTION = 5e-6, 5e-5, 5e-5, 5e-6, 2e-6


@GOLDEN.each("crop/{variant}/patch_logits")
def test_patch_logits(variant):
    found = patch_maps(segmentor(variant), box("crop"))[0]
    tolerance = MANY_ITERATIONS if variant == "pa_iters12" else LOGITS
    torch.testing.assert_close(found, GOLDEN.tensor(f"crop/{variant}/patch_logits"), atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", ["rect", "portrait", "whole"])
@GOLDEN.each("rect/{variant}/patch_logits")
def test_windows_of_other_shapes(name, variant):
    found = patch_maps(segmentor(variant), box(name))[0]
    torch.testing.assert_close(found, GOLDEN.tensor(f"{name}/{variant}/patch_logits"), atol=LOGITS, rtol=0)


@GOLDEN.each("crop/{variant}/tokens")
def test_tokens(variant):
    found = joined(decoded(segmentor(variant).tower, box("crop")))[0]
    torch.testing.assert_close(found, GOLDEN.tensor(f"crop/{variant}/tokens"), atol=TOKENS, rtol=0)


@GOLDEN.each("crop/{variant}/R")
def test_alignment(variant):
    iterations = GOLDEN.json()["variants"][variant]["iterations"]
    found = alignment(GOLDEN.tensor(f"crop/{variant}/M"), iterations)
    torch.testing.assert_close(found, GOLDEN.tensor(f"crop/{variant}/R"), atol=TURN, rtol=0)


@GOLDEN.each("crop/{variant}/attention_rows{step}")
def test_attention(variant, step):
    """Values that are the identity make it hand out its own map."""
    tower, attention = segmentor(variant).tower, decoder(variant).attention
    trunk = tower.trunk(box("crop"))
    q, k, v = tower.project(trunk.x, tower.depth)
    one = torch.eye(v.shape[2]).expand(*v.shape[:3], -1)
    found = attention(q, k, one, trunk.grid)[0, :, :: int(step)]
    torch.testing.assert_close(found, GOLDEN.tensor(f"crop/{variant}/attention_rows{step}"), atol=ATTENTION, rtol=0)


@GOLDEN.each("crop/{variant}/logits_up_sub{step}")
def test_logits_of_a_window_taken_whole(variant, step):
    found = segmentor(variant, crop=0).logits(box("crop"))[0][:, 5 :: int(step), 3 :: int(step)]
    expected = GOLDEN.tensor(f"crop/{variant}/logits_up_sub{step}")
    torch.testing.assert_close(found, expected, atol=LOGITS, rtol=0)


@GOLDEN.each("text/class_lines")
def test_names_are_split_as_in_the_recording():
    assert classes_of(GOLDEN, "text") == GOLDEN["text/query_idx"].tolist()


@GOLDEN.each("slide{which}/{variant}/logits_sub{step}")
def test_slides_with_a_window_shifted_back(which, variant, step):
    logits = segmentor(variant).logits(image())[0]
    expected = GOLDEN.tensor(f"slide{which}/{variant}/logits_sub{step}")
    torch.testing.assert_close(logits[:, 5 :: int(step), 3 :: int(step)], expected, atol=LOGITS, rtol=0)


@GOLDEN.each("slide/{variant}/logits_sub{step}")
def test_slides(variant, step):
    logits = segmentor(variant).logits(narrow())[0]
    expected = GOLDEN.tensor(f"slide/{variant}/logits_sub{step}")
    torch.testing.assert_close(logits[:, 5 :: int(step), 3 :: int(step)], expected, atol=LOGITS, rtol=0)
    assert (logits.argmax(dim=0) == GOLDEN.tensor(f"slide/{variant}/argmax")).float().mean() >= 0.9999


@GOLDEN.each("predict/pa_slide_{size}/logits_sub{step}")
def test_logits_without_propagation(size, step):
    model, pixels, output = prediction(f"pa_slide_{size}")
    found = model.logits(pixels, output)[0][:, 5 :: int(step), 3 :: int(step)]
    expected = GOLDEN.tensor(f"predict/pa_slide_{size}/logits_sub{step}")
    torch.testing.assert_close(found, expected, atol=LOGITS, rtol=0)


@GOLDEN.each("predict/pa_slide_{size}/pred_t{threshold}")
def test_labels_without_propagation(size, threshold):
    model, pixels, output = prediction(f"pa_slide_{size}", float(threshold))
    expected = GOLDEN.tensor(f"predict/pa_slide_{size}/pred_t{threshold}")
    assert (model.predict(pixels, output)[0] == expected).float().mean() >= 0.9999


def test_exact_alignment_is_a_rotation():
    turn = alignment(torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)), None)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(8).expand(3, -1, -1), atol=1e-5, rtol=0)
    many = alignment(torch.diag(torch.tensor([3.0, 2.0, 1.0])), 20)
    torch.testing.assert_close(many, torch.eye(3), atol=1e-3, rtol=0)


def test_equals_its_formula_and_takes_a_bias():
    q, k, v = torch.randn(3, 2, 2, 13, 8, generator=torch.Generator().manual_seed(1))
    bias = torch.randn(13, 13, generator=torch.Generator().manual_seed(2))
    weights = q.norm(dim=-1)
    weights[..., 0] = 0
    weights = (weights / weights.sum(-1, keepdim=True))[..., None]
    qc, kc = q - (weights * q).sum(2, keepdim=True), k - (weights * k).sum(2, keepdim=True)
    turn = alignment(kc.mT @ qc)
    logits = 0.5 * 8**-0.5 * (q @ (k @ turn).mT + 0.1 * kc @ k.mT) + bias
    found = ProcrustesAttention(0.1)(q, k, v, (3, 4), bias, 0.5)
    torch.testing.assert_close(found, logits.softmax(-1) @ v, atol=1e-5, rtol=0)


def test_half_precision_is_computed_in_float32():
    q, k, v = torch.randn(3, 1, 2, 13, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = ProcrustesAttention(0.1)(q, k, v, (3, 4))
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, ProcrustesAttention(0.1)(q.float(), k.float(), v.float(), (3, 4)).bfloat16())


@pytest.mark.parametrize("numbers", [{"alpha": -1.0}, {"iterations": -1}, {"alpha": float("nan")}])
def test_numbers_out_of_range(numbers):
    with pytest.raises(ConfigError, match=r"ProcrustesAttention.s (alpha|iterations) is"):
        ProcrustesAttention(**numbers)


def test_no_residual_by_default():
    assert LastBlock(ProcrustesAttention(0.1)).settled().residual is False
