"""CorrCLIP against the recording of its authors' code, against itself written out, and what no recording says."""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.decoding import CorrCLIP
from sclip_lightning.decoding.affinity import second_network
from sclip_lightning.decoding.affinity.second_network import mean_cosine
from sclip_lightning.decoding.affinity.segment_tokens import segment_tokens
from sclip_lightning.decoding.affinity.segments import (
    connected,
    mixed_in_segments,
    numbered,
    segment_distances,
    segments_joined,
)
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.model.assembly import load_networks
from sclip_lightning.refine import RegionVote
from sclip_lightning.towers import load_features
from sclip_lightning.windows import nearest
from tests.builders import build_head, build_segmentor
from tests.golden import Recording
from tests.tiny_dino import MICRO, MICRO_WITH_REGISTERS, recorded_networks

GOLDEN = Recording("corrclip")
meta, clip, dino = recorded_networks(GOLDEN, "sd/")
#: As the recording's README has it.
LOGITS, PROBABILITIES, FEATURES, WEIGHTS, KEYS, DISTANCES, MEAN = 5e-6, 5e-5, 5e-5, 1e-6, 1e-6, 5e-6, 1e-6


def part_of(maps, box):
    top, bottom, left, right = (0, None, 0, None) if box == "all" else box
    return maps[..., top:bottom, left:right]


def given(name, map_name):
    """The numbers of a case, its image [3, H, W] and its segments; ``window`` has several maps."""
    numbers = meta()["cases"][name]
    pixels = (GOLDEN.tensor("image_u8").float() - GOLDEN.tensor("mean")) / GOLDEN.tensor("std")
    segments = GOLDEN.tensor("segments").long()
    if name == "window":
        segments = GOLDEN.tensor(f"window/{map_name}/segments").long()
    elif numbers["image"] != "all":
        segments = part_of(GOLDEN.tensor("main/segments_input").long(), numbers["image"])
    return numbers, part_of(pixels.permute(2, 0, 1), numbers["image"]), segments


def decoder():
    constants = meta()["constants"]
    return CorrCLIP(**{name: constants[name] for name in ("tau", "eps", "alpha", "beta")})


def texts(numbers):
    return GOLDEN.tensor("text/features")[numbers["queries"]], GOLDEN.tensor("text/query_idx").long()[
        numbers["queries"]
    ]


@dataclass(frozen=True)
class Run:
    """A case, computed."""

    model: object
    scene: object
    sheet: object
    numbers: dict

    @property
    def logits(self):
        """[W, Q, r, c]."""
        return self.sheet.logits.permute(0, 3, 1, 2)


@cache
@torch.no_grad()
def run(name, map_name=""):
    numbers, pixels, segments = given(name, map_name)
    model = build_segmentor(
        clip(),
        *texts(numbers),
        decoder=decoder(),
        networks={"dino": dino()},
        head=build_head(meta()["logit_scale"], numbers["prob_thd"]),
        crop=numbers["crop"],
        stride=numbers["stride"],
        padding=meta()["constants"]["pad_multiple"],
    ).segmentor
    scene = model.scene(pixels, tuple(numbers["ori"]), regions=segments)
    return Run(model, scene, model.sheet(scene), numbers)


def place(case, window):
    """A computed case, and the number of the window that a key is about."""
    return (run(case, window), 0) if case == "window" else (run(case), int(window.removeprefix("w")))


@cache
@torch.no_grad()
def inner(case, window):
    """Keys [N, C], segments before and after joining [r, c], and the rest of what is in between, of one window."""
    computed, number = place(case, window)
    scene, part = computed.scene, computed.model.decoder
    pixels = scene.windows.pixels[number : number + 1]
    # As the part has it: all numbers below 0, so that margins come last.
    cut = scene.windows.cut((scene.regions - scene.regions.max() - 1)[None])[number]
    keys, joined = part.keys_and_segments(pixels, cut, dino())
    trunk = computed.model.tower.trunk(pixels, keep=range(computed.model.tower.depth - 1))
    on_patches = nearest(joined, trunk.grid)
    tokens = segment_tokens(computed.model.tower, trunk, numbered(on_patches.flatten(1)))[0]
    found = nearest(cut, keys.shape[1:3])[0]
    return SimpleNamespace(
        keys=keys.flatten(1, 2)[0], found=found, joined=joined[0], on_patches=on_patches[0], tokens=tokens
    )


def row_step(case, kind="row_step"):
    step = meta()[kind]
    return step.get(case, step["main"]) if isinstance(step, dict) else step


def assert_close(found, key, atol):
    torch.testing.assert_close(found, GOLDEN.tensor(key), atol=atol, rtol=0)


def assert_same_map(found, key):
    """The same patches together, and in the same order; numbers themselves mean nothing."""
    expected = GOLDEN.tensor(key).long()
    assert found.shape == expected.shape
    assert torch.equal(numbered(found.flatten()[None]), numbered(expected.flatten()[None]))


@GOLDEN.each("main/segments_input")
def test_segments_at_the_size_of_the_networks_input():
    expected = GOLDEN.tensor("main/segments_input").long()
    assert torch.equal(nearest(GOLDEN.tensor("segments").long(), tuple(expected.shape)), expected)


@GOLDEN.each("{case}/{window}/segments_grid")
def test_segments_before_and_after_joining(case, window):
    assert_same_map(inner(case, window).found, f"{case}/{window}/segments_grid")
    assert_same_map(inner(case, window).joined, f"{case}/{window}/merged_grid")
    assert_same_map(inner(case, window).on_patches, f"{case}/{window}/merged_tokens")


@GOLDEN.each("{case}/{window}/region_cluster")
def test_which_segments_join(case, window):
    mine = inner(case, window)
    segments = numbered(mine.found.flatten()[None])[0]
    distances = segment_distances(mine.keys, segments)
    found = connected(distances <= meta()["constants"]["eps"]).unique(return_inverse=True)[1]
    assert torch.equal(found, GOLDEN.tensor(f"{case}/{window}/region_cluster").long())
    if f"{case}/{window}/region_distance" in GOLDEN:
        assert_close(distances, f"{case}/{window}/region_distance", DISTANCES)


@GOLDEN.each("{case}/{window}/dino_rows")
def test_keys(case, window):
    assert_close(inner(case, window).keys[:: row_step(case)], f"{case}/{window}/dino_rows", KEYS)


@GOLDEN.each("{case}/{window}/similarity_mean")
def test_mean_similarity(case, window):
    found = mean_cosine(inner(case, window).keys[None])[0].double()
    assert_close(found, f"{case}/{window}/similarity_mean", MEAN)


@GOLDEN.each("{case}/{window}/attention_rows")
def test_weights(case, window):
    """Values that are the identity make the mix hand them out."""
    mine = inner(case, window)
    one = torch.eye(len(mine.keys))[None]
    found = mixed_in_segments(mine.keys[None], mine.joined.flatten()[None], one, meta()["constants"]["tau"])[0]
    step = row_step(case, "attention_row_step")
    assert_close(found[::step], f"{case}/{window}/attention_rows", WEIGHTS)


@GOLDEN.each("{case}/{window}/region_tokens")
def test_class_tokens_of_segments(case, window):
    assert_close(inner(case, window).tokens, f"{case}/{window}/region_tokens", FEATURES)


@GOLDEN.each("{case}/{window}/features_rows")
def test_features(case, window):
    computed, number = place(case, window)
    found = computed.sheet.tokens.features[number].flatten(0, 1)
    assert_close(found[:: row_step(case)], f"{case}/{window}/features_rows", FEATURES)


@GOLDEN.each("{case}/{window}/patch_logits")
def test_logits_of_windows(case, window):
    computed, number = place(case, window)
    assert_close(computed.logits[number], f"{case}/{window}/patch_logits", LOGITS)


def assert_merged(computed, prefix):
    """What a case comes to at the size of its labels, before and after the vote."""
    scene, classes = computed.scene, computed.model.query_classes
    merged = computed.model.merged_logits(scene)
    assert_close(merged.full()[..., 5::16, 11::16], f"{prefix}/logits", LOGITS)
    labels = computed.model.head.labels(merged, classes)
    for found, key in ((labels, "labels_before"), (RegionVote()(labels, scene), "labels")):
        assert (found == GOLDEN.tensor(f"{prefix}/{key}")).float().mean() >= 0.9999
    if f"{prefix}/probs" in GOLDEN:
        probabilities = computed.model.head.probabilities(merged.full(), classes)
        assert_close(probabilities[..., 5::16, 11::16], f"{prefix}/probs", PROBABILITIES)


@GOLDEN.each("{case}/labels")
def test_logits_and_labels(case):
    assert_merged(run(case), case)


@GOLDEN.each("window/{window}/labels")
def test_logits_and_labels_with_maps_of_all_kinds(window):
    assert_merged(run("window", window), f"window/{window}")


def written_out(tower, second, pixels, ids, wrong="", tau=4.0, eps=0.2):
    """[r, c, E] features of one window [3, a, b] with segments [a, b]; ``wrong`` changes one thing."""
    visual, blocks = tower.visual, tower.visual.transformer.resblocks
    sums = second.query_key_sums(pixels[None])[0]
    grid, d = tuple(sums.shape[:2]), F.normalize(sums.flatten(0, 1), dim=1)
    cells = F.interpolate(ids[None, None].float(), grid, mode="nearest")[0, 0].flatten().long()
    none = 0 if wrong == "only 0 is none" else int(cells.min())
    joined, members = cells.clone(), [number for number in cells.unique().tolist() if number != int(cells.min())]
    means = torch.stack([F.normalize(d[cells == number].mean(dim=0), dim=0) for number in members or [none]])
    near = (means @ means.T).max() - means @ means.T <= eps
    waiting, found = set(range(len(members))), 0
    while waiting and wrong != "not joined":
        queue, found = [min(waiting)], found + 1
        while queue:
            one = queue.pop()
            waiting.discard(one)
            joined[cells == members[one]] = 10**6 + found
            queue += [other for other in waiting if near[one, other]]
    same, cosines, loose = joined[:, None] == joined, d @ d.T, joined == none
    above = cosines > cosines.mean()
    either = loose[:, None] | loose
    allowed = torch.where(either, above, same)
    if wrong == "none sees none alone":
        allowed = torch.where(either, above & loose[:, None] & loose, same)
    allowed |= torch.eye(len(d), dtype=torch.bool)
    shares = (tau * cosines).masked_fill(~allowed, -torch.inf).softmax(dim=1)

    patches = tower.grid_size(*pixels.shape[1:])
    source = cells if wrong == "tokens of segments as given" else joined
    on_patches = F.interpolate(source.reshape(1, 1, *grid).float(), patches, mode="nearest")[0, 0].flatten().long()
    regions = on_patches.unique().tolist()
    x = tower.trunk(pixels[None], keep=[0]).blocks[0]
    own, count = x.shape[1], len(regions)
    seen = torch.zeros(own + count, own + count, dtype=torch.bool)
    seen[:, :own] = True
    for row, number in enumerate(regions):
        seen[own + row, 1:own] = on_patches == number
    mask, outputs = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf), []
    x = torch.cat([x, x[:, :1].expand(-1, count, -1)], dim=1)
    for block in blocks:
        x = block(x, attn_mask=mask)
        outputs.append(x)
    shift, n = int(wrong == "middle one block later"), {12: 5, 24: 12}.get(len(blocks), len(blocks) - 4)
    middle = torch.stack(outputs[len(blocks) - 2 - n + shift : len(blocks) - 2 + shift]).mean(dim=0)
    last, width = blocks[-1], x.shape[-1]

    def attended(tokens):
        v = last.ln_1(tokens[0, 1:own]) @ last.attn.in_proj_weight[2 * width :].T + last.attn.in_proj_bias[2 * width :]
        finer = F.interpolate(v.T.reshape(1, width, *patches), grid, mode="bilinear")[0].flatten(1).T
        return last.attn.out_proj(shares @ finer)

    back = F.interpolate(on_patches.reshape(1, 1, *patches).float(), grid, mode="nearest")[0, 0].flatten().long()
    semantic = torch.stack([x[0, own + regions.index(number)] for number in back.tolist()])
    branches = (attended(outputs[-2]), attended(middle), semantic)
    if wrong == "one norm of the sum":
        normed = visual.ln_post(branches[0] + branches[1] + 0.5 * branches[2])
    else:
        normed = sum(share * visual.ln_post(one) for share, one in zip((1, 1, 0.5), branches, strict=True))
    return (normed @ visual.proj).unflatten(0, grid)


#: Wrong readings, and a window that shows them according to the recording's README.
WRONG = {
    "": ("window", "nozero"),
    "not joined": ("window", "usual"),
    "only 0 is none": ("window", "nozero"),
    "none sees none alone": ("window", "usual"),
    "tokens of segments as given": ("window", "usual"),
    "middle one block later": ("window", "usual"),
    "one norm of the sum": ("window", "usual"),
    "margins are none": ("small", "w0"),
}


@torch.no_grad()
@pytest.mark.parametrize("wrong", WRONG)
@GOLDEN.each("text/features")
def test_the_recording_tells_wrong_readings_apart(wrong):
    case, window = WRONG[wrong]
    computed, number = place(case, window)
    outside = 0 if wrong == "margins are none" else meta()["constants"]["pad_id"]
    ids = computed.scene.windows.cut(computed.scene.regions[None] - outside)[number, 0] + outside
    features = written_out(computed.model.tower, dino(), computed.scene.windows.pixels[number], ids, wrong)
    logits = F.normalize(features, dim=-1) @ texts(computed.numbers)[0].T
    worst = (logits.permute(2, 0, 1) - GOLDEN.tensor(f"{case}/{window}/patch_logits")).abs().max()
    assert worst > 1e3 * LOGITS if wrong else worst <= LOGITS


@pytest.mark.parametrize("options", [{"eps": 0.25}, {"eps": 0}, {"tau": 1}, {"alpha": 0.5}, {"beta": 1}])
@GOLDEN.each("text/features")
def test_the_recording_tells_other_numbers_apart(options):
    numbers, pixels, segments = given("window", "usual")
    networks = {"dino": dino()}
    model = build_segmentor(clip(), *texts(numbers), decoder=CorrCLIP(**options), networks=networks, crop=336)
    found = model.segmentor.sheet(model.segmentor.scene(pixels, regions=segments)).logits[0]
    assert (found.permute(2, 0, 1) - GOLDEN.tensor("window/usual/patch_logits")).abs().max() > 1e3 * LOGITS


@pytest.fixture(scope="module")
def micro():
    torch.manual_seed(0)
    return load_features(MICRO, None)


@pytest.fixture
def built(example, micro):
    """Makes a segmentor with the part, windows of 64 pixels at stride 32 and so 64 patches each."""

    def build(part=None, network=micro, **windows):
        windows = {"crop": 64, "stride": 32} | windows
        texts = {"queries": example.queries, "classes": example.classes}
        part, networks = part or CorrCLIP(eps=0.02), {"dino": network}
        return build_segmentor(example.model, **texts, decoder=part, networks=networks, **windows).segmentor

    return build


def stripes(height, width, number=7):
    """[height, width] numbers of segments, the first of them 0; each is in several places."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (rows // 11 * 3 + columns // 13) % number * 1000


def logits_of(model, pixels, regions):
    return model.sheet(model.scene(pixels, regions=regions)).logits


MAPS = {
    "stripes": stripes(96, 96),
    "no 0": stripes(96, 96) + 5,
    "below 0 and very large": stripes(96, 96) * 2**40 - 3000,
    "one": torch.full((96, 96), 4),
    "a segment a pixel": torch.arange(96 * 96).reshape(96, 96),
}


@torch.no_grad()
@pytest.mark.parametrize("name", MAPS)
def test_what_the_decoder_computes_written_out(name, example, micro, built):
    """Four windows of 4 x 4 patches of CLIP's and 8 x 8 of the second network's."""
    model, pixels = built(), example.image[0, :, :96, :96]
    ids = numbered(MAPS[name].flatten()[None]).view(96, 96) + 1  # small, for the one who goes over float32
    found = model.decoder.decode(model.scene(pixels, regions=MAPS[name])).features
    corners = [(0, 0), (0, 32), (32, 0), (32, 32)]
    for mine, (top, left) in zip(found, corners, strict=True):
        rows, columns = slice(top, top + 64), slice(left, left + 64)
        expected = written_out(model.tower, micro, pixels[:, rows, columns], ids[rows, columns], eps=0.02)
        torch.testing.assert_close(mine, expected, atol=2e-5, rtol=0)


@torch.no_grad()
def test_margins_are_a_segment_of_their_own(example, micro, built):
    """Windows of 40 x 64 with margins of 8 rows above and below and 24 columns, half of them on each side."""
    model, pixels, regions = built(padding=56), example.image[0, :, :40, :64], stripes(40, 64)
    scene = model.scene(pixels, regions=regions)
    assert scene.windows.grid.padded_size == (56, 112)
    found = model.decoder.decode(scene).features[0]
    for outside, same in ((9000, True), (0, False), (3000, False)):
        ids = F.pad(regions - outside, (24, 24, 8, 8)) + outside
        expected = written_out(model.tower, micro, scene.windows.pixels[0], ids, eps=0.02)
        assert ((found - expected).abs().max() < 2e-5) == same


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_windows_may_pass_through_the_networks_in_any_number(example, built, batch_size):
    pixels, regions = example.image[0, :, :96, :128], stripes(96, 128)
    found = logits_of(built(window_batch_size=batch_size), pixels, regions)
    torch.testing.assert_close(found, logits_of(built(), pixels, regions), atol=1e-5, rtol=0)


def test_a_window_alone_gives_what_it_gives_among_others(example, built):
    pixels, regions = example.image[0, :, :64, :128], stripes(64, 128)
    together = logits_of(built(), pixels, regions)
    assert len(together) == 3
    for number, left in enumerate((0, 32, 64)):
        columns = slice(left, left + 64)
        alone = logits_of(built(), pixels[..., columns], regions[:, columns])[0]
        torch.testing.assert_close(alone, together[number], atol=1e-5, rtol=0)


def test_segments_have_a_say_and_their_numbers_have_none(example, built):
    pixels, regions = example.image[0, :, :64, :64], stripes(64, 64)
    found = logits_of(built(), pixels, regions)
    torch.testing.assert_close(logits_of(built(), pixels, regions * 7 - 90), found, atol=0, rtol=0)
    assert (logits_of(built(), pixels, regions.flip(1)) - found).abs().max() > 1e-3
    assert (logits_of(built(), pixels, torch.zeros_like(regions)) - found).abs().max() > 1e-3


def test_an_image_without_contrast_is_finite(example, built):
    pixels = torch.full((3, 64, 96), 0.3)
    for regions in (stripes(64, 96), torch.zeros(64, 96, dtype=torch.int64)):
        assert logits_of(built(), pixels, regions).isfinite().all()


def test_without_segments_all_is_outside_of_any_and_says_so(example, built):
    pixels = example.image[0, :, :64, :96]
    with pytest.warns(UserWarning, match="no segment map came with the image"):
        found = logits_of(built(), pixels, None)
    assert torch.equal(found, logits_of(built(), pixels, torch.zeros(64, 96, dtype=torch.int64)))


def test_segments_of_another_size_than_the_labels_are_refused(example, built):
    with pytest.raises(DataError, match=r"CorrCLIP: the segment map has 96 x 64 pixels, the labels 64 x 96"):
        logits_of(built(), example.image[0, :, :64, :96], torch.zeros(96, 64, dtype=torch.int64))


def test_a_second_network_with_registers_and_patches_of_14_pixels(example, built):
    torch.manual_seed(0)
    model = built(network=load_features(MICRO_WITH_REGISTERS, None), padding=56)
    found = logits_of(model, example.image[0, :, :60, :100], stripes(60, 100))
    assert found.shape[:3] == (3, 8, 8)
    assert found.isfinite().all()


def test_a_network_that_turns_queries_and_keys_is_refused(example):
    part = CorrCLIP("vit_tiny_patch16_dinov3_qkvb", None)
    with pytest.raises(ConfigError, match=r"dinov3_qkvb turns or .* Set --model.decoder.network to a DINO or DINOv2"):
        load_networks(SimpleNamespace(model=example.model), [part])


def test_middle_blocks():
    for depth, expected in ((12, 5), (24, 12), (32, 28), (10, 6), (5, 1)):
        assert CorrCLIP().fitted(depth, (16, 16)).middle_blocks == expected
    assert CorrCLIP(middle_blocks=2).fitted(4, (16, 16)).middle_blocks == 2
    for part, depth in ((CorrCLIP(), 4), (CorrCLIP(middle_blocks=11), 12)):
        with pytest.raises(ConfigError, match=f"a tower of {depth} blocks has {depth - 2} before its last two"):
            part.fitted(depth, (16, 16))


def some_keys(number, seed=0):
    """[number, 8] of length 1 in three groups."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 8, generator=generator)
    noise = torch.randn(number, 8, generator=generator)
    return F.normalize(centres[torch.arange(number) % 3] + 0.8 * noise, dim=-1)


def test_segments_join_through_others():
    """Directions 0, 30, 60 and 150 degrees: neighbours are 0.134 apart, the first and the third 0.5."""
    angles = torch.tensor([10.0, 0, 30, 60, 150]).deg2rad()  # the first is of no segment
    keys = torch.stack([angles.cos(), angles.sin()], dim=1)
    joined = segments_joined(keys[[0, 1, 2, 3, 4, 1]], torch.tensor([0, 3, 1, 2, 4, 3]), 0.2)
    assert joined.tolist() == [0, 1, 1, 1, 4, 1]
    assert segments_joined(keys, torch.arange(5), 0.1).tolist() == [0, 1, 2, 3, 4]


def test_the_limit_itself_joins_and_no_segment_at_all_is_none():
    keys = F.normalize(torch.tensor([[1.0, 0], [1, 0], [0, 1]]), dim=1)
    segments = torch.tensor([0, 1, 2])
    assert segments_joined(keys, segments, 1.0).tolist() == [0, 1, 1]
    assert segments_joined(keys, segments, 0.999).tolist() == [0, 1, 2]
    assert segments_joined(keys, torch.zeros(3, dtype=torch.int64), 0.2).tolist() == [0, 0, 0]


def test_what_hangs_together():
    generator = torch.Generator().manual_seed(0)
    for number, share in ((1, 0.5), (9, 0.1), (40, 0.03), (60, 0.015)):
        linked = torch.rand(number, number, generator=generator) < share
        linked = linked | linked.T | torch.eye(number, dtype=torch.bool)
        reached = linked.float().matrix_power(number) > 0
        assert torch.equal(connected(linked), reached.int().argmax(dim=1))
    path = torch.eye(50, dtype=torch.bool).roll(1, 0)
    path[0] = False
    assert not connected(path | path.T).any()


@pytest.mark.parametrize("budget", [1, 40, 280, 1600, 3200, 10**6])
def test_blocks_of_any_size_give_the_mix_written_out(budget, monkeypatch):
    keys, values = torch.stack([some_keys(40, seed) for seed in range(3)]), torch.randn(3, 40, 6)
    segments = torch.randint(4, (3, 40), generator=torch.Generator().manual_seed(1))
    expected = []
    for key, own, v in zip(keys, segments, values, strict=True):
        cosines = key @ key.T
        loose = (own == 0) | (own == 0)[:, None]
        allowed = torch.where(loose, cosines > cosines.mean(), own == own[:, None])
        expected.append((4 * cosines).masked_fill(~allowed, -torch.inf).softmax(dim=1) @ v)
    monkeypatch.setattr(second_network, "CPU_BLOCK", budget)
    torch.testing.assert_close(mixed_in_segments(keys, segments, values, 4.0), torch.stack(expected))


def test_patches_that_are_all_alike_and_of_no_segment_keep_their_values():
    values, none = torch.randn(2, 30, 5), torch.zeros(2, 30, dtype=torch.int64)
    keys = F.normalize(torch.ones(2, 30, 16), dim=-1)
    assert torch.equal(mixed_in_segments(keys, none, values, 4.0), values)


def test_thresholds_are_held_against_float32_whatever_the_precision():
    keys, segments = some_keys(60)[None], numbered(torch.arange(60)[None] // 7)
    expected = mixed_in_segments(keys, segments, keys, 4.0), segment_distances(keys[0], segments[0])
    with torch.autocast("cpu", torch.bfloat16):
        found = mixed_in_segments(keys, segments, keys, 4.0), segment_distances(keys[0], segments[0])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
