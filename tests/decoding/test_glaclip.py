"""GLA-CLIP against the recording of its authors' code, and what no recording says."""

import math
from functools import cache
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.data.reading.benchmark import ClassNames
from sclip_lightning.decoding import GLACLIP, ProxyCLIP, glaclip
from sclip_lightning.decoding.affinity.second_network import to_text_space
from sclip_lightning.decoding.glaclip import blocks, proxies
from sclip_lightning.errors import ConfigError
from sclip_lightning.towers import ClipTower, load_features
from sclip_lightning.windows import MergedLogits
from sclip_lightning.windows.grid import cut_windows
from tests.builders import build_head, build_segmentor, patch_maps
from tests.golden import Recording
from tests.tiny_dino import MICRO, MICRO_WITH_REGISTERS, recorded_networks

GOLDEN = Recording("glaclip")
meta, clip, dino = recorded_networks(GOLDEN, "clip/")
#: As the recording's README has it. Where there are millions of pairs, some lie at a step, and one that flips moves one
#: token by up to FLIPPED; so may be as many as SOME.
INNER, VALUES, ATTENTION, LOGITS, PROBABILITIES = 2e-6, 2e-5, 1e-6, 5e-6, 5e-5
FLIPPED, SOME = 1e-3, 5e-3
LARGE = ("many112", "published")
#: What the program's options are called here, in an order in which later ones win.
VARIANTS = {
    "initial_crit_pos": lambda rho: {"rho": rho},
    "mini_iters": lambda rounds: {"rounds": rounds},
    "beta_alpha": lambda share: {"beta_by_windows": share},
    "gamma_alpha": lambda factor: {"gamma_by_matches": factor},
    "proxy_sim": lambda on: {"proxy": on},
    "token_norm": lambda on: {"row_mean": on},
    "KV_token_extension": lambda on: {"across_windows": on},
    "dynamic_beta": lambda on: {} if on else {"beta": 1.2, "beta_by_windows": 0},
    "dynamic_gamma": lambda on: {} if on else {"gamma": 3.0, "gamma_by_matches": 0},
}


def image(key="image_u8"):
    pixels = (GOLDEN.tensor(key).float() - GOLDEN.tensor("mean")) / GOLDEN.tensor("std")
    return pixels.permute(2, 0, 1)


def decoder(options):
    """The part for options of the program."""
    chosen = {}
    for name, fields in VARIANTS.items():
        chosen |= fields(options[name]) if name in options else {}
    return GLACLIP(**chosen)


def segmentor(numbers, options=None, **changes):
    """With the windows of a case, as released but for ``options``."""
    texts = GOLDEN.tensor("text/features"), GOLDEN.tensor("text/query_idx").long()
    windows = {"crop": numbers["crop"], "stride": numbers["stride"], "padding": meta()["pad_multiple"]}
    part = decoder(meta()["released"] | (options or {}))
    return build_segmentor(clip(), *texts, decoder=part, networks={"dino": dino()}, **windows, **changes)


def given(name):
    """The numbers of a case, and its part of its image [3, H, W]."""
    numbers = meta()["cases"][name]
    top, left, height, width = numbers["box"]
    key = "flat_u8" if name.startswith("flat") else "image_u8"
    return numbers, image(key)[:, top : top + height, left : left + width]


def sheet_of(model, pixels):
    return model.segmentor.sheet(model.segmentor.scene(pixels))


@cache
def sheet(case):
    numbers, pixels = given(case)
    return sheet_of(segmentor(numbers), pixels)


def merged(case, size=None):
    return MergedLogits(sheet(case).logits, sheet(case).grid, tuple(size or sheet(case).grid.image_size))


@cache
@torch.no_grad()
def tokens_of(case):
    """Keys [M, C] and values [M, D] of a case."""
    numbers, pixels = given(case)
    model = segmentor(numbers).segmentor
    keys, values = model.decoder.keys_and_values(model.scene(pixels))
    assert len(keys) == numbers["windows"]
    return keys.flatten(0, 2), values.flatten(0, 1)


@cache
def all_proxies(case, rounds):
    """Proxies [M, C] and the sizes of the sets that made them [M]."""
    keys, _ = tokens_of(case)
    found = [proxies(keys, rows, decoder(meta()["released"]).rho, rounds) for rows in blocks(keys)]
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def shares(case):
    """Attention of all tokens, some rows [R, M] at a time."""
    keys, part = tokens_of(case)[0], decoder(meta()["released"])
    return (part.shares(keys, rows, meta()["cases"][case]["windows"]) for rows in blocks(keys))


def differences(found, expected):
    """[..., h, w] of logits [..., Q, h, w]."""
    assert found.shape == expected.shape
    return (found - expected).abs().amax(dim=-3)


def assert_logits(found, key, large=False):
    """All tokens to within rounding; where there are very many pairs all but some."""
    worst = differences(found, GOLDEN.tensor(key))
    assert worst.max() <= (FLIPPED if large else LOGITS)
    assert (worst > LOGITS).float().mean() <= (SOME if large else 0)


def assert_counts(found, key, large):
    expected = torch.from_numpy(GOLDEN[key].astype("int64")).flatten()
    differs = (found - expected).abs()
    assert differs.max() <= (1 if large else 0)
    assert (differs > 0).float().mean() <= (SOME if large else 0)


@GOLDEN.each("{case}/keys")
def test_keys_proxies_and_means(case):
    rows = GOLDEN.tensor(f"{case}/rows")
    keys, _ = tokens_of(case)
    torch.testing.assert_close(keys[rows], GOLDEN.tensor(f"{case}/keys"), atol=INNER, rtol=0)
    for rounds in (1, 2):
        found = all_proxies(case, rounds)[0][rows]
        torch.testing.assert_close(found, GOLDEN.tensor(f"{case}/proxy{rounds}"), atol=INNER, rtol=0)
    mean = (found @ keys.T).mean(dim=1)
    torch.testing.assert_close(mean, GOLDEN.tensor(f"{case}/row_mean"), atol=INNER, rtol=0)


@GOLDEN.each("{case}/set_size{rounds}")
def test_how_many_make_a_proxy(case, rounds):
    assert_counts(all_proxies(case, int(rounds))[1].long(), f"{case}/set_size{rounds}", case in LARGE)


@GOLDEN.each("{case}/keys_kept")
def test_attention_and_how_many_take_part(case):
    kept, chosen, wanted = [], [], GOLDEN.tensor(f"{case}/rows")
    for block in shares(case):
        mine = wanted - sum(map(len, kept))
        chosen.append(block[mine[(mine >= 0) & (mine < len(block))]])
        kept.append((block > 0).sum(dim=1))
    assert_counts(torch.cat(kept), f"{case}/keys_kept", case in LARGE)
    found = torch.cat(chosen)[wanted.argsort().argsort()]  # the rows came in order
    torch.testing.assert_close(found, GOLDEN.tensor(f"{case}/attention"), atol=ATTENTION, rtol=0)


@GOLDEN.each("{case}/values")
def test_values_on_the_grid_of_the_second_network(case):
    expected = GOLDEN.tensor(f"{case}/values")
    found = tokens_of(case)[1][GOLDEN.tensor(f"{case}/rows")].view_as(expected)
    torch.testing.assert_close(found, expected, atol=VALUES, rtol=0)


@GOLDEN.each("{case}/labels")
def test_logits_and_labels(case):
    large, whole = case in LARGE, merged(case)
    assert_logits(sheet(case).logits.permute(0, 3, 1, 2), f"{case}/patch_logits", large)
    read = (slice(5, None, 16), slice(11, None, 16)) if large else (slice(5, None, 8), slice(3, None, 8))
    assert_logits(whole.full()[(slice(None), *read)], f"{case}/logits", large)
    found = build_head(meta()["logit_scale"]).labels(whole, GOLDEN.tensor("text/query_idx").long())
    assert (found == GOLDEN.tensor(f"{case}/labels")).float().mean() >= 0.9999


@GOLDEN.each("{case}/labels_thd{threshold}")
def test_labels_of_a_published_size(case, threshold):
    head, classes = build_head(meta()["logit_scale"], threshold), GOLDEN.tensor("text/query_idx").long()
    labels = head.labels(merged(case, meta()["ori_shape"]), classes)
    assert (labels == GOLDEN.tensor(f"{case}/labels_thd{threshold}")).float().mean() >= 0.9999


@GOLDEN.each("{case}/class_probs")
def test_probabilities(case):
    head, classes = build_head(meta()["logit_scale"]), GOLDEN.tensor("text/query_idx").long()
    found = head.probabilities(merged(case, meta()["ori_shape"]).full(), classes)[:, 5::16, 11::16]
    torch.testing.assert_close(found, GOLDEN.tensor(f"{case}/class_probs"), atol=PROBABILITIES, rtol=0)


@GOLDEN.each("{case}:{variant}/patch_logits")
def test_variants(case, variant):
    numbers, pixels = given(case)
    found = sheet_of(segmentor(numbers, meta()["variants"][variant]), pixels)
    assert_logits(found.logits.permute(0, 3, 1, 2), f"{case}:{variant}/patch_logits")
    assert differences(found.logits.permute(0, 3, 1, 2), GOLDEN.tensor(f"{case}/patch_logits")).max() > 10 * LOGITS


@GOLDEN.each("own/{case}/logits")
def test_windows_that_are_not_square(case):
    numbers = meta()["own"][case]
    top, left, height, width = numbers["part"]
    pixels, model = image()[:, top : top + height, left : left + width], segmentor(numbers)
    assert_logits(sheet_of(model, pixels).logits.permute(0, 3, 1, 2), f"own/{case}/patch_logits")
    assert_logits(model.logits(pixels[None])[0][:, 5::8, 11::8], f"own/{case}/logits")


@GOLDEN.each("text/class_lines")
def test_names_are_split_as_in_the_recording():
    lines = [line.replace("; ", ", ") for line in GOLDEN["text/class_lines"].tolist()]
    synonyms = ClassNames.load(lines).synonyms
    assert [index for index, names in enumerate(synonyms) for _ in names] == GOLDEN["text/query_idx"].tolist()


def written_out(keys, windows, part, wrong=""):
    """[M, M] the attention with everything in memory at once; ``wrong`` changes one thing."""
    asked, number = keys, len(keys)
    for _ in range(part.rounds):
        alike = asked @ keys.T > part.rho
        alike = torch.where(alike.any(dim=1, keepdim=True), alike, torch.eye(number, dtype=torch.bool))
        asked = torch.stack([F.normalize(keys[chosen].sum(dim=0), dim=0) for chosen in alike])
    cosines = (asked if part.proxy else keys) @ keys.T
    sizes = alike.sum(dim=1, keepdim=True)
    if wrong == "size of the last proxy's set":
        sizes = (cosines > part.rho).sum(dim=1, keepdim=True).clamp(min=1)
    mean = cosines.mean(dim=1, keepdim=True) if part.row_mean else cosines.mean()
    mean = mean if wrong == "mean not clamped" else mean.clamp(min=0)
    logarithm = math.log(windows if wrong == "one window fewer" else windows + 1)
    gamma = part.gamma + part.gamma_by_matches / sizes
    scores = gamma * (cosines - (part.beta + part.beta_by_windows * logarithm) * mean)
    least = torch.minimum(scores.amax(dim=1, keepdim=True), torch.zeros(1))
    return scores.masked_fill(scores < least, -torch.inf).softmax(dim=1)


#: A wrong reading, and a case that shows it according to the specification.
WRONG = {
    "": "shifted112",
    "size of the last proxy's set": "shifted112",
    "mean not clamped": "six112",
    "one window fewer": "flat112",
}


@torch.no_grad()
@pytest.mark.parametrize("wrong", WRONG)
@GOLDEN.each("text/features")
def test_the_recording_tells_wrong_readings_apart(wrong):
    case, tower = WRONG[wrong], ClipTower(clip().visual)
    keys, values = tokens_of(case)
    part = decoder(meta()["released"])
    tokens = to_text_space(tower, (written_out(keys, meta()["cases"][case]["windows"], part, wrong) @ values)[None])
    expected = GOLDEN.tensor(f"{case}/patch_logits")
    windows, _, height, width = expected.shape
    found = (F.normalize(tokens[0], dim=-1) @ GOLDEN.tensor("text/features").T).view(windows, height, width, -1)
    worst = differences(found.permute(0, 3, 1, 2), expected).max()
    assert worst > 10 * LOGITS if wrong else worst <= LOGITS


@pytest.fixture(scope="module")
def micro():
    torch.manual_seed(0)
    return load_features(MICRO, None)


@pytest.fixture
def built(example, micro):
    """Makes a segmentor with the part, windows of 64 pixels at stride 32 and so 64 patches each."""

    def build(part=None, network=micro, **windows):
        texts = {"queries": example.queries, "classes": example.classes}
        windows = {"crop": 64, "stride": 32} | windows
        return build_segmentor(example.model, **texts, decoder=part or GLACLIP(), networks={"dino": network}, **windows)

    return build


def logits_of(model, pixels):
    """[W, r, c, Q] of an image [1, 3, h, w]."""
    return sheet_of(model, pixels[0]).logits


#: What stands for all patches, of one window or several: three groups of directions, so that all thresholds matter.
def some_keys(number, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 8, generator=generator)
    noise = torch.randn(number, 8, generator=generator)
    return F.normalize(centres[torch.arange(number) % 3] + 0.8 * noise, dim=-1)


#: Numbers under which something is chosen by each of the part's steps.
PARTS = [
    GLACLIP(),
    GLACLIP(rounds=1, rho=0.7),
    GLACLIP(rounds=4, rho=0.2),
    GLACLIP(rho=0.97),
    GLACLIP(proxy=False),
    GLACLIP(proxy=False, beta=1.2, beta_by_windows=0, gamma=3.0, gamma_by_matches=0),
    GLACLIP(proxy=False, row_mean=False, beta=1.2, beta_by_windows=0, gamma=3.0, gamma_by_matches=0),
    GLACLIP(beta=0.5, beta_by_windows=1.0, gamma=2.0, gamma_by_matches=5.0),
]


@pytest.mark.parametrize("rows", [7, 60, 1000])
def test_blocks_of_any_size_give_the_attention_written_out(rows, monkeypatch):
    monkeypatch.setattr(glaclip, "CPU_BLOCK", 1)
    monkeypatch.setattr(glaclip, "FEWEST_ROWS", rows)
    keys, seen = some_keys(180), []
    assert len(list(blocks(keys))) == -(-180 // rows)
    for part in PARTS:
        found = torch.cat([part.shares(keys, block, 3) for block in blocks(keys)])
        torch.testing.assert_close(found, written_out(keys, 3, part), atol=2e-6, rtol=1e-5)
        assert 180 < (found > 0).sum() < 180 * 180
        seen.append(found)
    assert all((one - other).abs().max() > 1e-4 for one, other in combinations(seen, 2))


def test_a_block_keeps_to_the_memory_of_its_device():
    for number in (100, 4704, 28224):
        rows = max(block.stop - block.start for block in blocks(torch.empty(number, 1)))
        assert rows * number <= max(glaclip.CPU_BLOCK, glaclip.FEWEST_ROWS * number)
        assert rows >= glaclip.FEWEST_ROWS


def test_what_resembles_nothing_is_its_own_proxy():
    keys = some_keys(30)
    found, matches = proxies(keys, slice(0, 30), 1.0, 3)
    torch.testing.assert_close(found, keys)
    assert torch.equal(matches, torch.ones(30))


def test_where_all_patches_are_alike_no_row_is_empty():
    """Each cosine is below the threshold then."""
    torch.manual_seed(0)
    found = GLACLIP().shares(F.normalize(torch.ones(40, 8), dim=-1), slice(0, 40), 4)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(40))
    apart = F.normalize(torch.ones(40, 8) + 1e-2 * torch.randn(40, 8), dim=-1)
    found = GLACLIP(proxy=False).shares(apart, slice(0, 40), 4)
    assert torch.equal(found, torch.eye(40))  # the maximum of a row is the patch itself


def test_the_attention_is_float32_whatever_the_precision():
    keys = some_keys(50)
    with torch.autocast("cpu", torch.bfloat16):
        found = GLACLIP().shares(keys, slice(0, 50), 1)
    assert torch.equal(found, GLACLIP().shares(keys, slice(0, 50), 1))


@torch.no_grad()
def test_what_the_decoder_computes_written_out(example, micro, built):
    """Two windows of 4 x 4 patches of CLIP's and 8 x 8 of the second network's, head by head."""
    pixels, visual, model = example.image[..., :64, :96], example.model.visual, built()
    found, last = logits_of(model, pixels), visual.transformer.resblocks[-1]
    keys, values = [], []
    for window in (pixels[..., :64], pixels[..., 32:]):
        keys.append(F.normalize(micro.features(window)[0].flatten(0, 1), dim=-1))
        x = model.segmentor.tower.trunk(window).x
        width = x.shape[-1]
        v = (last.ln_1(x) @ last.attn.in_proj_weight[2 * width :].T + last.attn.in_proj_bias[2 * width :])[0, 1:]
        values.append(F.interpolate(v.T.reshape(1, width, 4, 4), (8, 8), mode="bilinear")[0].flatten(1).T)
    given = written_out(torch.cat(keys), 2, GLACLIP())
    tokens = visual.ln_post(last.attn.out_proj(given @ torch.cat(values))) @ visual.proj
    expected = (F.normalize(tokens, dim=-1) @ example.queries.T).view(2, 8, 8, -1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert given[:64, 64:].sum(dim=1).max() > 0.1  # windows do attend to each other


def test_one_window_has_nothing_beyond_it(example, built):
    pixels = example.image[..., :64, :64]
    alone = logits_of(built(GLACLIP(across_windows=False)), pixels)
    assert torch.equal(logits_of(built(), pixels), alone)
    wide = example.image[..., :64, :96]
    apart = logits_of(built(GLACLIP(across_windows=False)), wide)
    torch.testing.assert_close(apart[:1], alone, atol=1e-6, rtol=0)
    assert (logits_of(built(), wide) - apart).abs().max() > 1e-3


def test_with_all_of_it_off_it_is_proxyclip(example, built):
    pixels = example.image[..., :64, :96]
    fixed = {"beta": 1.2, "beta_by_windows": 0, "gamma": 3.0, "gamma_by_matches": 0}
    off = GLACLIP(proxy=False, across_windows=False, row_mean=False, **fixed)
    torch.testing.assert_close(logits_of(built(off), pixels), logits_of(built(ProxyCLIP()), pixels), atol=1e-6, rtol=0)
    assert (logits_of(built(), pixels) - logits_of(built(off), pixels)).abs().max() > 1e-2


def test_the_order_of_windows_means_nothing_and_their_number_does(example, built):
    windows = torch.cat([example.image[..., :64, start : start + 64] for start in (0, 40, 160)])
    first = patch_maps(built(), windows)
    torch.testing.assert_close(patch_maps(built(), windows.flip(0)).flip(0), first, atol=1e-5, rtol=0)
    twice = patch_maps(built(), torch.cat([windows, windows]))
    torch.testing.assert_close(twice[:3], twice[3:], atol=1e-5, rtol=0)
    # Six windows have another threshold than three, and sets of twice the size.
    assert (twice[:3] - first).abs().max() > 1e-4
    as_three = GLACLIP(beta_by_windows=0.3 * math.log(4) / math.log(7), gamma_by_matches=60.0)
    same = patch_maps(built(as_three), torch.cat([windows, windows]))
    torch.testing.assert_close(same[:3], first, atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_windows_may_pass_through_the_networks_in_any_number(example, built, batch_size):
    pixels = example.image[..., :96, :128]
    found = logits_of(built(window_batch_size=batch_size), pixels)
    torch.testing.assert_close(found, logits_of(built(), pixels), atol=1e-5, rtol=0)


def test_an_image_knows_nothing_of_others(example, built):
    images = [example.image[0, :, :96, :64], example.image[0, :, 100:196, 200:264]]
    model = built()
    together = model.logits(torch.stack(images))
    for image, logits in zip(reversed(images), reversed(together), strict=True):
        assert torch.equal(built().logits(image[None])[0], logits)


def test_padded_windows_and_a_network_of_another_patch(example, built):
    """Windows of 40 x 64 with margins of 8 rows above and below, on patches of 14 pixels."""
    torch.manual_seed(0)
    pixels = example.image[..., :40, :100]
    other = built(network=load_features(MICRO_WITH_REGISTERS, None), padding=56, crop=64)
    sheet = sheet_of(other, pixels[0])
    assert sheet.grid.padded_size == (56, 112)
    assert sheet.logits.shape[:3] == (3, 4, 8)
    assert sheet.logits.isfinite().all()
    padded = patch_maps(other, cut_windows(pixels, sheet.grid))
    torch.testing.assert_close(padded.permute(0, 2, 3, 1), sheet.logits, atol=1e-6, rtol=0)


def test_a_mean_over_all_patches_goes_without_proxies_only():
    with pytest.raises(
        ConfigError, match=r"Set --model.decoder.proxy to false, too, or leave --model.decoder.row_mean"
    ):
        GLACLIP(row_mean=False)
    with pytest.raises(ConfigError, match=r"GLACLIP's rounds is 0\. Give a whole number from 1 up"):
        GLACLIP(rounds=0)
