"""The presence prior against the recording of its authors' code, whose towers were replaced by tables."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.decoding import LastBlock, PresencePrior
from sclip_lightning.decoding.presence import adjusted_texts, class_embedding, prior_logits, text_clusters
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.head import Head
from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import MergedLogits, Sheet, compare_with_texts, window_grid
from tests.builders import build_segmentor
from tests.golden import Recording

GOLDEN = Recording("prior")
#: As the recording's README has it.
TEXTS, LOGITS, PROBABILITIES = 1e-6, 1e-6, 1e-5


def texts():
    return GOLDEN.tensor("text/features")


def adjusted(case):
    meta = GOLDEN.json()[case]
    clusters = text_clusters(texts(), meta["h_threshold"], meta["linkage"])
    features = GOLDEN.tensor(f"{case}/patch_features")
    return adjusted_texts(texts(), GOLDEN.tensor(f"{case}/prior"), features, clusters, meta["m"])


def merged(case, size=None):
    meta = GOLDEN.json()[case]
    height, width = GOLDEN["image_u8"].shape[:2]
    grid = window_grid(height, width, meta["crop"], meta["stride"])
    features = GOLDEN.tensor(f"{case}/patch_features")
    logits = prior_logits(features, adjusted(case), GOLDEN.tensor(f"{case}/prior"), meta["w"])
    # Cells are as square as their number allows.
    shapes = [(r, features.shape[1] // r) for r in range(1, 1 + features.shape[1]) if features.shape[1] % r == 0]
    aspect = grid.window_size[0] / grid.window_size[1]
    rows, columns = min(shapes, key=lambda shape: abs(shape[0] / shape[1] - aspect))
    return MergedLogits(logits.unflatten(1, (rows, columns)), grid, size or (height, width))


@GOLDEN.each("clusters/{linkage}/{cut}")
def test_clusters(linkage, cut):
    found = text_clusters(texts(), float(cut), linkage)
    assert found.tolist() == GOLDEN[f"clusters/{linkage}/{cut}"].tolist()


@GOLDEN.each("{case}/adjusted_text")
def test_texts(case):
    torch.testing.assert_close(adjusted(case), GOLDEN.tensor(f"{case}/adjusted_text"), atol=TEXTS, rtol=0)
    moved = (adjusted(case)[0] - texts()).abs().amax(dim=1) > 0
    assert moved.nonzero().squeeze(1).tolist() == GOLDEN.json()[case]["moved_names_first_window"]


@GOLDEN.each("{case}/logits")
def test_logits(case):
    start, step = GOLDEN.json()["_made"]["sub"]
    found = merged(case).full()[:, start::step, start::step]
    torch.testing.assert_close(found, GOLDEN.tensor(f"{case}/logits"), atol=LOGITS, rtol=0)


@GOLDEN.each("{case}/labels")
def test_labels_and_probabilities(case):
    meta, classes = GOLDEN.json()[case], GOLDEN.tensor("text/query_idx").long()
    maps, head = merged(case, tuple(meta["ori_shape"])), Head(meta["logit_scale"], meta["prob_thd"])
    assert (head.labels(maps, classes) == GOLDEN.tensor(f"{case}/labels")).float().mean() >= 0.9999
    start, step = GOLDEN.json()["_made"]["sub"]
    probabilities = head.probabilities(maps.full(), classes)[:, start::step, start::step]
    torch.testing.assert_close(probabilities, GOLDEN.tensor(f"{case}/probs"), atol=PROBABILITIES, rtol=0)


def test_the_class_token_is_clips_image_embedding(example):
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    found = class_embedding(ClipTower(example.model.visual), images)
    torch.testing.assert_close(found, example.model.visual(images))


def build(example, step, **options):
    names = (example.queries, example.classes)
    return build_segmentor(example.model, *names, decoder=LastBlock(), steps=[step] if step else [], **options)


STEP = PresencePrior(0.25, 0.04, 0.1, per_window=False)


def test_the_prior_is_the_same_for_all_patches(example):
    """Without text adjustment it may as well be added after the merge."""
    image = example.image[..., :200, :260]
    step = replace(STEP, text_share=0.0)
    plain = build(example, None).logits(image)
    token = class_embedding(ClipTower(example.model.visual), image)
    prior = F.normalize(token, dim=-1) @ example.queries.T
    expected = 0.75 * plain + 0.25 * prior[..., None, None]
    torch.testing.assert_close(build(example, step).logits(image), expected, atol=1e-5, rtol=0)
    assert (build(example, STEP).logits(image) - expected).abs().max() > 1e-4
    windows = build(example, replace(step, per_window=True)).logits(image)
    assert (windows - expected).abs().max() > 1e-4


@pytest.mark.parametrize(("crop", "per_window"), [(0, False), (64, True), (64, False)])
def test_what_the_decoder_knows_is_not_computed_again(example, monkeypatch, crop, per_window):
    """And is the same as if it were."""
    model = build(example, step := replace(STEP, per_window=per_window), crop=crop, stride=32).segmentor
    scene = model.scene(example.image[0, :, :96, :128])
    tokens = model.decoder.decode(scene)
    sheet = Sheet(compare_with_texts(tokens.features, scene.texts), tokens.grid, tokens)
    with torch.no_grad():
        again = step(replace(sheet, tokens=replace(tokens, embedding=None)), scene).logits
        calls = []
        run = ClipTower.trunk
        monkeypatch.setattr(ClipTower, "trunk", lambda *args: calls.append(1) or run(*args))
        torch.testing.assert_close(step(sheet, scene).logits, again, atol=1e-6, rtol=0)
    assert len(calls) == (0 if crop == 0 or per_window else 1)


def test_windows_do_not_mix(example):
    image = example.image[..., :200, :300]
    for step in (STEP, replace(STEP, per_window=True)):
        at_once, one_by_one = (build(example, step, window_batch_size=size).logits(image) for size in (9, 1))
        torch.testing.assert_close(at_once, one_by_one, atol=1e-5, rtol=0)


def test_one_name_and_one_patch():
    assert text_clusters(torch.eye(1), 0.1).tolist() == [0]
    one = F.normalize(torch.ones(1, 1, 3), dim=-1)
    moved = adjusted_texts(torch.eye(3)[:1], torch.ones(1, 1), one, torch.zeros(1, dtype=torch.int64), 0.5)
    assert moved.isfinite().all()


@pytest.mark.parametrize("numbers", [{"weight": 1.5}, {"text_share": -0.1}, {"cut": 0.0}, {"weight": float("nan")}])
def test_numbers_out_of_range(numbers):
    with pytest.raises(ConfigError, match=r"--model.prior: PresencePrior.s (weight|text_share|cut) is"):
        PresencePrior(**numbers)
