"""ResCLIP as a whole, against the recordings of the authors' code (tolerances: their README)."""

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.decoding.attention import project_qkv
from sclip_lightning.decoding.feedback import SemanticFeedback
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers.clip import VisionTower

FEATURES, LOGITS = 5e-5, 5e-6
RCS, SFR = ResidualAttention(2.0, 0.4), SemanticFeedback(1.8, 0.7, 0.25)
MODES = {"base": (None, None), "rcs": (RCS, None), "sfr": (None, SFR), "rcs_sfr": (RCS, SFR)}
VARIANTS = [
    ("vanilla", True),
    ("vanilla", False),
    ("sclip", True),
    ("clearclip", False),
    ("naclip", False),
    ("naclip", True),
]


@pytest.fixture
def build(resclip_golden):
    """A segmentor of the recorded model."""
    model, golden = resclip_golden
    queries, classes = torch.from_numpy(golden["text/features"]), torch.from_numpy(golden["text/query_idx"]).long()

    def build(attention="naclip", residual=False, rcs=RCS, sfr=SFR, head=None, std=5.0, **options):
        tower = VisionTower(model.visual, attention, residual, std, rcs)
        return SlidingWindowSegmentor(tower, queries, classes, head or Head(40.0), feedback=sfr, **options)

    return build


@pytest.fixture
def full_image(resclip_golden):
    _, golden = resclip_golden
    pixels = torch.from_numpy(golden["image_u8"]).float()
    image = (pixels - torch.from_numpy(golden["mean"])) / torch.from_numpy(golden["std"])
    return image.permute(2, 0, 1)[None]


def key_of(attention, residual, mode):
    return f"{attention}_{'w' if residual else 'wo'}_resi/{mode}"


def two_passes(segmentor, windows):
    """All tokens and the patch labels, from the segmentor's parts."""
    tower, feedback = segmentor.tower, segmentor.feedback
    inputs = tower.trunk(windows)
    tokens = tower.finish(inputs)
    if feedback:
        bias = feedback.bias(segmentor._cosines(tokens), windows, inputs.grid, tower.patch_size)
        tokens = tower.finish(inputs, bias, feedback.gain)
    return tokens


@pytest.mark.parametrize(("attention", "residual"), VARIANTS)
@pytest.mark.parametrize("mode", MODES)
def test_crop_matches_the_recording(resclip_golden, resclip_image, build, attention, residual, mode):
    _, golden = resclip_golden
    crop = resclip_image[..., 56:280, 112:336]
    segmentor = build(attention, residual, *MODES[mode])
    key = f"crop/{key_of(attention, residual, mode)}"
    tokens = two_passes(segmentor, crop)[0]
    torch.testing.assert_close(tokens, torch.from_numpy(golden[f"{key}/features"]), atol=FEATURES, rtol=0)
    logits = segmentor._window_logits(crop)[0].T.reshape(8, 14, 14)
    torch.testing.assert_close(logits, torch.from_numpy(golden[f"{key}/patch_logits"]), atol=LOGITS, rtol=0)


@pytest.mark.parametrize(("attention", "residual"), VARIANTS)
@pytest.mark.parametrize("mode", MODES)
def test_slide_matches_the_recording(resclip_golden, resclip_image, build, attention, residual, mode):
    _, golden = resclip_golden
    key = f"slide/{key_of(attention, residual, mode)}"
    if f"{key}/logits" not in golden:
        pytest.skip("not recorded")
    logits = build(attention, residual, *MODES[mode]).logits(resclip_image)[0]
    recorded = torch.from_numpy(golden[f"{key}/logits"])
    torch.testing.assert_close(logits[:, 5::16, 11::16], recorded, atol=LOGITS, rtol=0)
    argmax = torch.from_numpy(golden[f"{key}/argmax"])
    assert (logits.argmax(dim=0) == argmax).float().mean() >= 0.999


@pytest.mark.parametrize(
    ("name", "threshold", "rcs", "sfr"),
    [
        ("voc21", 0.50, (2.0, 0.3), (2.2, 0.7)),
        ("voc20", 0.10, (2.0, 0.6), (2.1, 0.6)),
        ("context60", 0.30, (2.0, 0.3), (1.8, 0.7)),
        ("context59", 0.25, (2.0, 0.4), (1.8, 0.7)),
        ("coco_object", 0.11, (2.0, 0.4), (1.8, 0.7)),
        ("coco_stuff164k", 0.11, (2.0, 0.4), (1.8, 0.7)),
        ("ade20k", 0.25, (2.0, 0.3), (2.1, 0.7)),
        ("city_scapes", 0.10, (2.0, 0.2), (2.1, 0.6)),
    ],
)
def test_settings_of_every_benchmark(resclip_golden, resclip_image, build, name, threshold, rcs, sfr):
    _, golden = resclip_golden
    segmentor = build(rcs=ResidualAttention(*rcs), sfr=SemanticFeedback(*sfr, threshold))
    logits = segmentor._window_logits(resclip_image[..., 56:280, 112:336])[0].T.reshape(8, 14, 14)
    recorded = torch.from_numpy(golden[f"crop_hp/{name}/patch_logits"])
    torch.testing.assert_close(logits, recorded, atol=LOGITS, rtol=0)


@pytest.mark.parametrize(
    ("name", "std", "sight"), [("std1", 1.0, True), ("std10", 10.0, True), ("delete0", 5.0, False)]
)
def test_other_settings(resclip_golden, resclip_image, build, name, std, sight):
    _, golden = resclip_golden
    sfr = SemanticFeedback(1.8, 0.7, 0.25, gaussian_std=std, line_of_sight=sight)
    logits = build(sfr=sfr, std=std)._window_logits(resclip_image[..., 56:280, 112:336])[0].T.reshape(8, 14, 14)
    recorded = torch.from_numpy(golden[f"crop_opt/{name}/patch_logits"])
    torch.testing.assert_close(logits, recorded, atol=LOGITS, rtol=0)


@pytest.mark.parametrize("key", ["vanilla_w_resi/base", "naclip_wo_resi/base", "naclip_wo_resi/rcs_sfr"])
def test_whole_image_matches_the_recording(resclip_golden, resclip_image, build, key):
    _, golden = resclip_golden
    variant, mode = key.split("/")
    attention, arch = variant.split("_", 1)
    segmentor = build(attention, arch == "w_resi", *MODES[mode])
    logits = segmentor._window_logits(resclip_image)[0].T.reshape(8, 21, 28)
    torch.testing.assert_close(logits, torch.from_numpy(golden[f"whole/{key}/patch_logits"]), atol=LOGITS, rtol=0)


def test_remainders_and_small_images(resclip_golden, resclip_image, full_image, build):
    _, golden = resclip_golden
    logits = build().logits(full_image)[0, :, 5::16, 11::16]
    torch.testing.assert_close(logits, torch.from_numpy(golden["slide459/logits"]), atol=LOGITS, rtol=0)
    logits = build(crop=0).logits(full_image)[0, :, 5::16, 11::16]
    recorded = torch.from_numpy(golden["whole459/naclip_wo_resi/rcs_sfr/logits"])
    torch.testing.assert_close(logits, recorded, atol=LOGITS, rtol=0)
    logits = build().logits(resclip_image[..., 40:200, 60:360])[0, :, 5::16, 11::16]
    torch.testing.assert_close(logits, torch.from_numpy(golden["slide_small/logits"]), atol=LOGITS, rtol=0)


@pytest.mark.parametrize(("mode", "crop"), [("slide", 224), ("whole", 0)])
def test_predictions_match_the_recording(resclip_golden, resclip_image, build, mode, crop):
    _, golden = resclip_golden
    segmentor = build(head=Head(40.0, 0.3), crop=crop)
    probabilities = segmentor.probabilities(resclip_image, (500, 667))[0]
    probabilities = (probabilities / probabilities.sum(dim=0))[:, 5::16, 11::16]
    recorded = torch.from_numpy(golden[f"predict/{mode}/probs"])
    torch.testing.assert_close(probabilities, recorded, atol=1e-4, rtol=0)
    labels = segmentor.predict(resclip_image, (500, 667))[0]
    assert (labels == torch.from_numpy(golden[f"predict/{mode}/pred"])).float().mean() >= 0.999


def test_source_attention_matches_the_recording(resclip_golden, resclip_image, build):
    """Values that are the identity make attention hand out its own map."""
    _, golden = resclip_golden
    crop = resclip_image[..., 56:280, 112:336]
    tower = build().tower
    normalised = {}
    for layer in (6, 7, 8, 9):
        tower.blocks[layer - 1].ln_1.register_forward_hook(lambda m, i, output, n=layer: normalised.update({n: output}))
    tower.trunk(crop)
    sources = [project_qkv(tower.blocks[layer - 1].attn, x)[:2] for layer, x in normalised.items()]
    for layer in normalised:
        tower.blocks[layer - 1].ln_1._forward_hooks.clear()
    mean = RCS.cross(sources, torch.eye(197).expand(1, 2, 197, 197))[0, :, ::4]
    torch.testing.assert_close(mean, torch.from_numpy(golden["crop_detail/attn_rcs_rows4"]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("attention", ["vanilla", "maskclip", "sclip", "clearclip", "naclip"])
def test_each_switch_changes_the_output(resclip_image, build, attention):
    crop = resclip_image[..., :96, :96]
    residual = None
    base = build(attention, residual, None, None)._window_logits(crop)
    rcs = build(attention, residual, RCS, None)._window_logits(crop)
    assert (base - rcs).abs().max() > 1e-4
    if attention != "maskclip":
        sfr = build(attention, residual, None, SFR)._window_logits(crop)
        both = build(attention, residual, RCS, SFR)._window_logits(crop)
        assert (base - sfr).abs().max() > 1e-4
        assert (both - sfr).abs().max() > 1e-4


def test_neutral_settings_are_the_base(resclip_image, build):
    crop = resclip_image[..., :96, :96]
    base = build(rcs=None, sfr=None)._window_logits(crop)
    neutral = build(rcs=ResidualAttention(1.0, 0.0), sfr=SemanticFeedback(1.0, 0.0, 0.25))._window_logits(crop)
    torch.testing.assert_close(neutral, base, atol=1e-6, rtol=0)


def test_windows_at_once_equal_one_by_one(resclip_image, build):
    at_once = build(window_batch_size=6).logits(resclip_image)
    one_by_one = build(window_batch_size=1).logits(resclip_image)
    torch.testing.assert_close(at_once, one_by_one, atol=LOGITS, rtol=0)


def test_residual_attention_equals_its_formula(resclip_golden, resclip_image):
    q, k, v = torch.randn(3, 2, 2, 9, 8)
    others = [tuple(torch.randn(2, 2, 2, 9, 8)) for _ in range(3)]
    scale = 8**-0.5
    mean = torch.stack([(scale * a @ b.mT).softmax(-1) for a, b in others]).mean(0)
    own = (scale * q @ k.mT).softmax(-1)
    rcs = ResidualAttention(2.0, 0.3)
    torch.testing.assert_close(rcs.mix(own @ v, rcs.cross(others, v)), 2 * (0.7 * own + 0.3 * mean) @ v)


def test_shallow_towers_are_refused(sclip_golden):
    model, _ = sclip_golden
    with pytest.raises(ConfigError, match=r"6 to 9, but this tower has 4.*--model.rcs_layers"):
        VisionTower(model.visual, residual_attention=RCS)
    VisionTower(model.visual, residual_attention=ResidualAttention(2.0, 0.4, 2, 3))


def test_unit_vectors_of_the_first_pass(resclip_golden, resclip_image, build):
    """The first pass already has RCS in it: its logits are those of RCS alone."""
    segmentor = build()
    crop = resclip_image[..., 56:280, 112:336]
    first = segmentor._cosines(segmentor.tower.finish(segmentor.tower.trunk(crop)))
    alone = build(sfr=None)._window_logits(crop)
    assert torch.equal(first, alone)
    assert F.cosine_similarity(first.flatten(), build()._window_logits(crop).flatten(), dim=0) < 0.9999
