"""ProxyCLIP against the recording of its authors' code, and what no recording says."""

from functools import cache
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.data.reading.benchmark import ClassNames
from sclip_lightning.decoding import ClassTokenShare, ProxyCLIP, proxyclip
from sclip_lightning.decoding.affinity import second_network
from sclip_lightning.decoding.proxyclip import proxy_mix
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.assembly import build_segmentor as assemble
from sclip_lightning.model.assembly import load_networks
from sclip_lightning.model.description import describe_segmentor
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.refine import LPOSS
from sclip_lightning.towers import load_features
from sclip_lightning.upsampling import LoftUp, ResizedFeatures
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import Texts, window_grid
from sclip_lightning.windows.grid import cut_windows
from tests.builders import build_head, build_segmentor, patch_maps, scene_of
from tests.golden import Recording
from tests.tiny_dino import MICRO, recorded_networks

GOLDEN = Recording("proxyclip")
meta, clip, dino = recorded_networks(GOLDEN, "clip/")
#: As the recording's README has it. An entry flipped at the mask's step moves one token by up to FLIPPED.
INPUT, INNER, ATTENTION, LOGITS, FLIPPED, PROBABILITIES = 2e-6, 2e-5, 1e-6, 5e-6, 1e-3, 5e-5


def image():
    pixels = (GOLDEN.tensor("image_u8").float() - GOLDEN.tensor("mean")) / GOLDEN.tensor("std")
    return pixels.permute(2, 0, 1)[None]


def part(top, left, height, width):
    return image()[..., top : top + height, left : left + width]


def window(name):
    return part(*meta()["boxes"][name])


def segmentor(**options):
    texts = GOLDEN.tensor("text/features"), GOLDEN.tensor("text/query_idx").long()
    decoder = ProxyCLIP(beta=meta()["beta"], gamma=meta()["gamma"])
    options = {"stride": meta()["stride"], "padding": meta()["pad_multiple"]} | options
    return build_segmentor(clip(), *texts, decoder=decoder, networks={"dino": dino()}, **options)


def padded(name):
    """The crop of a case whose windows are padded, and its image."""
    crop, height, width = meta()["padded"][name]
    return crop, part(0, 0, height, width)


def windows_logits(crop, pixels, stride=None):
    """[W, Q, h, w] logits of all windows of an image [1, 3, H, W]."""
    model = segmentor(crop=crop, stride=stride or meta()["stride"]).segmentor
    return model.sheet(model.scene(pixels[0])).logits.permute(0, 3, 1, 2)


def rows_of(found, key):
    """The rows of a map [N, ...] that the recording keeps, evenly apart, and the recording's."""
    expected = GOLDEN.tensor(key)
    return found[:: -(-len(found) // len(expected))], expected


def assert_logits(found, key):
    """Logits [..., Q, h, w]: all but a few tokens to within rounding."""
    expected = GOLDEN.tensor(key)
    assert found.shape == expected.shape
    worst = (found - expected).abs().amax(dim=-3)
    assert worst.max() <= FLIPPED
    assert (worst > LOGITS).float().mean() <= 1e-3


@cache
@torch.no_grad()
def features(name):
    """[1, N, C] of a window, by the second network."""
    return dino().features(window(name)).flatten(1, 2)


@cache
def weights(name):
    """[N, N] of a window: values that are the identity make the mix hand them out."""
    one = torch.eye(features(name).shape[1])[None]
    return proxy_mix(features(name), one, meta()["beta"], meta()["gamma"])[0]


@GOLDEN.each("one{side}/vfm_input")
def test_the_second_network_sees_colours_as_imagenets_networks_do(side):
    found, expected = dino()._renormalised(window(f"one{side}"))[0], GOLDEN.tensor(f"one{side}/vfm_input")
    torch.testing.assert_close(found[:, 5::16, 11::16], expected, atol=INPUT, rtol=0)


@GOLDEN.each("padded{crop}/vfm_input_corner")
def test_padding_is_clips_mean_colour(crop):
    side, pixels = padded(f"padded{crop}")
    windows = cut_windows(pixels, window_grid(*pixels.shape[-2:], side, meta()["stride"], meta()["pad_multiple"]))
    found, expected = dino()._renormalised(windows)[-1], GOLDEN.tensor(f"padded{crop}/vfm_input_corner")
    torch.testing.assert_close(found[:, :24:3, :24:3], expected, atol=INPUT, rtol=0)


@GOLDEN.each("one{side}/vfm_tokens")
def test_tokens_of_the_second_network(side):
    found, expected = rows_of(features(f"one{side}")[0], f"one{side}/vfm_tokens")
    torch.testing.assert_close(found, expected, atol=INNER, rtol=0)


@GOLDEN.each("one{side}/mean_similarity")
def test_mean_similarity(side):
    keys = F.normalize(features(f"one{side}")[0], dim=-1)
    expected = GOLDEN.tensor(f"one{side}/mean_similarity")
    torch.testing.assert_close((keys @ keys.T).mean(), expected, atol=1e-6, rtol=0)


@GOLDEN.each("one{side}/keys_kept")
def test_how_many_take_part(side):
    expected = torch.from_numpy(GOLDEN[f"one{side}/keys_kept"].astype("int64"))
    found = (weights(f"one{side}") > 0).sum(dim=-1)
    assert (found == expected).float().mean() >= 0.999


@GOLDEN.each("one{side}/keys_kept")
def test_weights(side):
    found, expected = rows_of(weights(f"one{side}"), f"one{side}/attention")
    torch.testing.assert_close(found, expected, atol=ATTENTION, rtol=0)


@GOLDEN.each("one{side}/keys_kept")
def test_values_on_the_grid_of_the_second_network(side, monkeypatch):
    given = []
    monkeypatch.setattr(proxyclip, "proxy_mix", lambda *both: given.append(both[1]) or proxy_mix(*both))
    patch_maps(segmentor(), window(f"one{side}"))
    by_head = given[0][0].unflatten(1, (meta()["clip"]["heads"], -1))
    found, expected = rows_of(by_head, f"one{side}/values")
    torch.testing.assert_close(found, expected, atol=INNER, rtol=0)


@torch.no_grad()
@GOLDEN.each("one{side}/keys_kept")
def test_features(side):
    model = segmentor().segmentor
    scene = scene_of(window(f"one{side}"), Texts(model.queries, model.query_classes), dict(model.networks))
    found, expected = rows_of(model.decoder.decode(scene).features.flatten(1, 2)[0], f"one{side}/features")
    torch.testing.assert_close(found, expected, atol=INNER, rtol=0)


@GOLDEN.each("one{side}/keys_kept")
def test_logits_of_one_window(side):
    pixels = window(f"one{side}")
    assert_logits(windows_logits(int(side), pixels)[0], f"one{side}/patch_logits")
    assert_logits(segmentor(crop=int(side)).logits(pixels)[0][:, 5::16, 11::16], f"one{side}/logits")


@GOLDEN.each("whole{side}/logits")
def test_logits_of_an_image_taken_whole(side):
    found = segmentor(crop=0).logits(window(f"one{side}"), tuple(meta()[f"whole{side}_ori_shape"]))[0]
    assert_logits(found[:, 5::8, 3::8], f"whole{side}/logits")


@GOLDEN.each("slide{crop}/logits")
def test_slides(crop):
    side = meta()["slide"][f"slide{crop}"]
    assert_logits(windows_logits(side, image()), f"slide{crop}/patch_logits")
    assert_logits(segmentor(crop=side).logits(image())[0][:, 5::16, 11::16], f"slide{crop}/logits")


@GOLDEN.each("padded{crop}/vfm_input_corner")
def test_padded_windows(crop):
    side, pixels = padded(f"padded{crop}")
    assert_logits(windows_logits(side, pixels), f"padded{crop}/patch_logits")
    assert_logits(segmentor(crop=side).logits(pixels)[0][:, 5::8, 11::8], f"padded{crop}/logits")


@GOLDEN.each("slide{crop}/labels_thd{threshold}")
def test_labels(crop, threshold):
    model = segmentor(crop=meta()["slide"][f"slide{crop}"], head=build_head(meta()["logit_scale"], threshold))
    labels = model.predict(image(), tuple(meta()["ori_shape"]))[0]
    assert (labels == GOLDEN.tensor(f"slide{crop}/labels_thd{threshold}")).float().mean() >= 0.9999


@GOLDEN.each("slide{crop}/class_probs")
def test_probabilities(crop):
    model = segmentor(crop=meta()["slide"][f"slide{crop}"], head=build_head(meta()["logit_scale"]))
    found = model.probabilities(image(), tuple(meta()["ori_shape"]))[0, :, 5::16, 11::16]
    torch.testing.assert_close(found, GOLDEN.tensor(f"slide{crop}/class_probs"), atol=PROBABILITIES, rtol=0)


@GOLDEN.each("own/nonsquare/patch_logits")
def test_windows_that_are_not_square():
    numbers = meta()["own"]["nonsquare"]
    pixels, crop, stride = part(*numbers["part"]), numbers["crop"], numbers["stride"]
    assert_logits(windows_logits(crop, pixels, stride), "own/nonsquare/patch_logits")
    merged = segmentor(crop=crop, stride=stride).logits(pixels)[0]
    assert_logits(merged[:, 5::8, 11::8], "own/nonsquare/logits")


@GOLDEN.each("own/flat/patch_logits")
def test_a_window_without_contrast():
    found = patch_maps(segmentor(), torch.full((1, 3, 224, 224), 0.3))[0]
    assert_logits(found, "own/flat/patch_logits")


@GOLDEN.each("text/class_lines")
def test_names_are_split_as_in_the_recording():
    lines = [line.replace("; ", ", ") for line in GOLDEN["text/class_lines"].tolist()]
    synonyms = ClassNames.load(lines).synonyms
    assert [index for index, names in enumerate(synonyms) for _ in names] == GOLDEN["text/query_idx"].tolist()


def test_blocks_of_any_size_give_the_mix_written_out(monkeypatch):
    """Some windows together, or a few rows of one."""
    torch.manual_seed(0)
    features, values = torch.randn(3, 40, 4) + 0.5, torch.randn(3, 40, 6)
    expected = []
    for keys, v in zip(F.normalize(features, dim=-1), values, strict=True):
        scores = 3.0 * (keys @ keys.T - 1.2 * (keys @ keys.T).mean())
        expected.append(scores.masked_fill(scores < 0, -torch.inf).softmax(dim=-1) @ v)
    assert not torch.stack(expected).isnan().any()
    for budget in (1, 40, 280, 1600, 3200, 10**6):
        monkeypatch.setattr(second_network, "CPU_BLOCK", budget)
        torch.testing.assert_close(proxy_mix(features, values, 1.2, 3.0), torch.stack(expected))


def test_patches_that_are_all_alike_keep_their_values():
    features, values = torch.ones(2, 30, 8), torch.randn(2, 30, 5)
    assert torch.equal(proxy_mix(features, values, 1.2, 3.0), values)


def test_cosines_are_float32_whatever_the_precision():
    torch.manual_seed(0)
    features, values = torch.randn(2, 50, 8).bfloat16(), torch.randn(2, 50, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found = proxy_mix(features, values, 1.2, 3.0)
    assert torch.equal(found, proxy_mix(features.float(), values, 1.2, 3.0))
    assert found.dtype == torch.float32


@pytest.fixture(scope="module")
def micro():
    torch.manual_seed(0)
    return load_features(MICRO, None)


@torch.no_grad()
def test_what_the_decoder_computes_written_out(example, micro):
    """One window of 3 x 4 patches of CLIP's and 6 x 8 of the second network's, head by head."""
    model = build_segmentor(
        example.model, example.queries, example.classes, decoder=ProxyCLIP(), networks={"dino": micro}, crop=0
    )
    pixels, visual = example.image[..., :48, :64], example.model.visual
    found = patch_maps(model, pixels)
    trunk, last = model.segmentor.tower.trunk(pixels), visual.transformer.resblocks[-1]
    width = trunk.x.shape[-1]
    v = (last.ln_1(trunk.x) @ last.attn.in_proj_weight[2 * width :].T + last.attn.in_proj_bias[2 * width :])[0, 1:]
    keys = F.normalize(micro.features(pixels)[0].flatten(0, 1), dim=-1)
    scores = 3.0 * (keys @ keys.T - 1.2 * (keys @ keys.T).mean())
    shares = scores.masked_fill((scores < 0) & ~torch.eye(48, dtype=torch.bool), -torch.inf).softmax(dim=-1)
    mixed = []
    for head in v.split(64, dim=1):
        finer = F.interpolate(head.T.reshape(1, 64, 3, 4), (6, 8), mode="bilinear")[0].flatten(1).T
        mixed.append(shares @ finer)
    tokens = visual.ln_post(last.attn.out_proj(torch.cat(mixed, dim=1))) @ visual.proj
    expected = (F.normalize(tokens, dim=-1) @ example.queries.T).T.reshape(1, -1, 6, 8)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert 48 < (shares > 0).sum() < 48 * 48  # some take part, some do not


def test_images_taken_whole_are_resized_once_and_small_ones_twice(example, micro):
    """From cells to the output's size, where a window's logits go to its own size first."""
    texts = {"queries": example.queries, "classes": example.classes, "networks": {"dino": micro}}
    pixels, size = example.image[..., :64, :96], (50, 81)
    models = [build_segmentor(example.model, **texts, decoder=ProxyCLIP(), crop=crop, stride=48) for crop in (0, 96)]
    cells = patch_maps(models[1], pixels)
    once, twice = (model.logits(pixels, size) for model in models)
    torch.testing.assert_close(once, F.interpolate(cells, size, mode="bilinear"), atol=1e-5, rtol=0)
    image = F.interpolate(cells, (64, 96), mode="bilinear")
    torch.testing.assert_close(twice, F.interpolate(image, size, mode="bilinear"), atol=1e-5, rtol=0)
    assert (once - twice).abs().max() > 1e-3


def options(**changes):
    return SegmentorOptions(weights=None, templates="none", decoder=ProxyCLIP(MICRO, None), **changes)


def built(example, **changes):
    settings = resolve(options(**changes), Vocabulary.parse("cat, dog, grass, sky, tree"))
    networks = load_networks(SimpleNamespace(model=example.model), settings.parts)
    return assemble(networks, Texts(example.queries, example.classes), settings)


def test_a_result_says_which_second_network_was_used(example):
    found = describe_segmentor(built(example, crop=64, stride=32))
    assert found["network"] == MICRO
    assert found["dino_weights"] == "untrained (random)"
    assert len(found["dino_sha256"]) == 12


def test_windows_of_no_whole_patches_are_refused_before_any_image(example):
    with pytest.raises(ConfigError, match=r"Windows of 100 x 100 .* --model.crop to a multiple of 8, such as 96"):
        built(example, crop=100, stride=50)


def test_steps_on_cells_know_that_these_are_the_second_networks(example):
    model = built(example, crop=64, stride=32, upsampler=ResizedFeatures())
    assert model.sheet_steps == (ResizedFeatures(8),)
    with pytest.raises(ConfigError, match="cannot give 16 positions per patch of 8 pixels"):
        built(example, crop=64, stride=32, upsampler=ResizedFeatures(16))


def test_random_weights_next_to_trained_ones_are_refused():
    with pytest.raises(ConfigError, match="The weights of ProxyCLIP are null"):
        SegmentorOptions(decoder=ProxyCLIP(weights=None))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"upsampler": LoftUp(None)}, "LoftUp needs the values, which ProxyCLIP does not give"),
        ({"prior": ClassTokenShare()}, "ClassTokenShare needs the class token, which ProxyCLIP does not give"),
        ({"refiners": [LPOSS(None)]}, "LPOSS needs the values, which ProxyCLIP does not give"),
    ],
)
def test_what_reads_clips_own_last_block_is_refused(example, changes, what):
    with pytest.raises(ConfigError, match=what):
        built(example, crop=64, stride=32, **changes)
