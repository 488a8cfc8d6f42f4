"""OV-Stitcher against the recording of its authors' code, and what no recording says."""

import re
from functools import cache
from itertools import product
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sclip_lightning.decoding import OVStitcher, ovstitcher
from sclip_lightning.decoding.affinity.second_network import mean_cosine
from sclip_lightning.decoding.affinity.segment_tokens import segment_tokens
from sclip_lightning.decoding.affinity.segments import connected, mixed_in_segments, numbered, segment_distances
from sclip_lightning.decoding.affinity.stitching import Canvas
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.model.head import Head
from sclip_lightning.refine import RegionVote
from sclip_lightning.towers import load_features
from sclip_lightning.windows import MergedLogits, nearest, window_grid
from tests.builders import build_segmentor
from tests.golden import Recording
from tests.tiny_dino import MICRO, recorded_networks

GOLDEN = Recording("ovstitcher")
meta, clip, dino = recorded_networks(GOLDEN, "sd/")
#: As the recording's README has it.
LOGITS, PROBABILITIES, TOKENS, INNER, DISTANCES, LABELS = 5e-6, 5e-5, 5e-5, 1e-6, 5e-6, 0.9999


def part_of(kind=OVStitcher):
    constants = meta()["constants"]
    numbers = {name: constants[name] for name in ("tau", "eps", "alpha", "beta")}
    return kind(middle_blocks=len(constants["spatial_blocks_0based"]), **numbers)


def given(case, kind=OVStitcher):
    """A segmentor as a case has it, and the scene of its image."""
    numbers = meta()["cases"][case.split("/")[0]]
    queries = numbers["queries"]
    classes = GOLDEN.tensor("text/query_idx").long()
    model = build_segmentor(
        clip(),
        GOLDEN.tensor("text/features")[queries],
        classes if len(queries) == len(classes) else torch.arange(len(queries)),
        decoder=part_of(kind),
        head=Head(meta()["logit_scale"], numbers["prob_thd"]),
        networks={"dino": dino()},
        crop=numbers["crop"],
        stride=numbers["stride"],
        padding=meta()["constants"]["pad_multiple"],
    ).segmentor
    pixels = ((GOLDEN.tensor("image_u8").float() - GOLDEN.tensor("mean")) / GOLDEN.tensor("std")).permute(2, 0, 1)
    segments = GOLDEN.tensor("segments").long()
    if numbers["image"] != "all":
        top, bottom, left, right = numbers["image"]
        own = f"{case}/segments"
        segments = nearest(segments, pixels.shape[1:])[top:bottom, left:right]
        segments = GOLDEN.tensor(own).long() if own in GOLDEN else segments
        pixels = pixels[:, top:bottom, left:right]
    return model, model.scene(pixels, tuple(numbers["ori"]), regions=segments)


@cache
@torch.no_grad()
def steps(case):
    """All that is between image and labels."""
    model, scene = given(case)
    part, tower, windows = model.decoder, model.tower, scene.windows
    keys, grid = part.keys(scene)
    numbers = nearest(nearest(scene.regions, windows.grid.image_size), grid)
    joined, in_windows = part.segments(scene, keys, grid)
    trunk = tower.trunk(windows.pixels, keep=range(tower.depth - 1))
    on_patches, sheet = nearest(in_windows, trunk.grid), model.sheet(scene)
    return SimpleNamespace(
        scene=scene,
        keys=keys,
        numbers=numbers,
        joined=joined,
        on_patches=on_patches,
        region_tokens=segment_tokens(tower, trunk, on_patches.flatten(1)),
        spatial_tokens=part.stitched(scene, in_windows)[1].flatten(0, 1),
        sheet=sheet,
        merged=MergedLogits(sheet.logits, sheet.grid, scene.output_size),
        model=model,
    )


def recorded(case, key, tolerance, found, step=1):
    """Compare rows with a key, if the recording has it for this case; say whether it has."""
    if f"{case}/{key}" not in GOLDEN:
        return False
    expected = GOLDEN.tensor(f"{case}/{key}")
    found = found if step == 1 else found[::step]
    torch.testing.assert_close(found.to(expected.dtype), expected, atol=tolerance, rtol=0)
    return True


def authors_numbers(case, joined):
    """Segments after joining by the authors' numbers; 0 where there is none."""
    ids = steps(case).numbers.unique()
    # The smallest keeps its number; others are only numbered anew where some can be joined.
    names = torch.cat([ids[:1], 10000 + torch.arange(len(ids) - 1)]) if len(ids) > 2 else ids
    return torch.where(joined < 0, 0, names[joined.clamp(min=0)])


def compare_segments(case):
    found, grid = steps(case), steps(case).scene.windows.grid
    corners = [(y, x, y + grid.window_size[0], x + grid.window_size[1]) for y in grid.tops for x in grid.lefts]
    assert recorded(case, "windows", 0, torch.tensor(corners))
    assert recorded(case, "segments_grid", 0, found.numbers)
    recorded(case, "segments_input", 0, nearest(found.scene.regions, grid.image_size))
    distances = segment_distances(found.keys, numbered(found.numbers.flatten()[None])[0])
    recorded(case, "region_distance", DISTANCES, distances)
    recorded(case, "region_cluster", 0, numbered(connected(distances <= meta()["constants"]["eps"])[None])[0])
    assert recorded(case, "merged_grid", 0, authors_numbers(case, found.joined))
    assert recorded(case, "merged_tokens", 0, authors_numbers(case, found.on_patches))


def compare_features(case):
    found, rows, attention_rows = steps(case), meta()["row_step"], meta()["attention_row_step"]
    recorded(case, "dino_rows", INNER, found.keys, rows)
    assert recorded(case, "similarity_mean", INNER, mean_cosine(found.keys[None])[0])
    if f"{case}/attention_rows" in GOLDEN:
        # Values that are the identity make attention hand out its own map.
        every, tau = torch.eye(len(found.keys))[None], meta()["constants"]["tau"]
        attention = mixed_in_segments(found.keys[None], found.joined.flatten()[None], every, tau)[0]
        recorded(case, "attention_rows", INNER, attention, attention_rows)
    recorded(case, "region_tokens", TOKENS, found.region_tokens)
    recorded(case, "spatial_tokens", TOKENS, found.spatial_tokens, meta()["spatial_row_step"])
    recorded(case, "features_rows", TOKENS, found.sheet.tokens.features.flatten(0, 2), rows)
    assert recorded(case, "patch_logits", LOGITS, found.sheet.logits[0].permute(2, 0, 1))


def compare_labels(case):
    found, model = steps(case), steps(case).model
    (top, step), (left, across) = (map(int, pair) for pair in re.findall(r"(\d+)::(\d+)", meta()["sample"]))
    sampled = (slice(None), slice(top, None, step), slice(left, None, across))
    logits = found.merged.full()
    assert recorded(case, "logits", LOGITS, logits[sampled])
    recorded(case, "probs", PROBABILITIES, model.head.probabilities(logits, model.query_classes)[sampled])
    before = model.head.labels(found.merged, model.query_classes)
    for key, labels in {"labels_before": before, "labels": RegionVote()(before, found.scene)}.items():
        assert (labels == GOLDEN.tensor(f"{case}/{key}")).float().mean() >= LABELS


COMPARED = {"segments": compare_segments, "features": compare_features, "labels": compare_labels}


@pytest.mark.parametrize("what", COMPARED)
@GOLDEN.each("{case}/patch_logits")
def test_the_authors_numbers(case, what):
    COMPARED[what](case)


@pytest.mark.parametrize("what", COMPARED)
@GOLDEN.each("two/{segments}/patch_logits")
def test_the_authors_numbers_on_other_segments(segments, what):
    COMPARED[what](f"two/{segments}")


@pytest.mark.golden
def test_no_recorded_key_is_left_out():
    named = r"windows|segments(_grid|_input)?|region_(distance|cluster|tokens)|merged_(grid|tokens)|similarity_mean"
    named += r"|(dino|attention|features)_rows|spatial_tokens|patch_logits|logits|probs|labels(_before)?"
    given_ones = r"sd/.*|dino/.*|image_u8|mean|std|segments|text/(features|query_idx)|meta"
    assert meta()
    assert [key for key in GOLDEN.keys if not re.fullmatch(rf"(\w+/){{1,2}}({named})|{given_ones}", key)] == []


class LaterBlocks(OVStitcher):
    """The middle blocks are one later."""

    def blocks(self, depth):
        return range(super().blocks(depth).start + 1, depth)


class OwnMargins(OVStitcher):
    """Margins are a segment of their own."""

    def segments(self, scene, keys, grid):
        joined, in_windows = super().segments(scene, keys, grid)
        inside = scene.windows.cut(torch.ones_like(joined)[None])[:, 0]
        return joined, torch.where(inside == 1, in_windows, joined.max() + 1)


class QueryKeySums(OVStitcher):
    """Patches are compared by CorrCLIP's features."""

    def keys(self, scene):
        canvas = Canvas(scene.windows.grid, scene.networks["dino"].patch_size)
        canvas.add(scene.networks["dino"].query_key_sums(scene.windows.pixels))
        return F.normalize(canvas.mean(), dim=-1), canvas.size


class ApartInTheMiddle(OVStitcher):
    """The middle blocks' outputs are put together, not their attention."""

    def stitched(self, scene, segments):
        tower, blocks = scene.networks["clip"], self.blocks(scene.networks["clip"].depth)
        trunk = tower.trunk(scene.windows.pixels, keep=blocks)
        canvas = Canvas(scene.windows.grid, tower.patch_size)
        canvas.add(torch.stack([ovstitcher.patches_of(trunk.blocks[block], trunk) for block in blocks]).mean(dim=0))
        values, _, semantic = super().stitched(scene, segments)
        return values, canvas.mean().unflatten(0, canvas.size), semantic


def with_all_heads(tower, inputs, block):
    """The block as CLIP has it."""
    x, *projections = inputs[None].chunk(4, dim=-1)
    q, k, v = (one.unflatten(-1, (-1, tower.head_width)).transpose(1, 2) for one in projections)
    return tower.finish(x, F.scaled_dot_product_attention(q, k, v), block)[0]


WRONG = {kind.__doc__: kind for kind in (LaterBlocks, OwnMargins, QueryKeySums, ApartInTheMiddle)}


@pytest.mark.parametrize("wrong", [*WRONG, "many heads", "no norm"])
@GOLDEN.each("pad/spatial_tokens")
def test_the_recording_tells_wrong_readings_apart(wrong, monkeypatch):
    model, scene = given("pad", WRONG.get(wrong, OVStitcher))
    if wrong == "many heads":
        monkeypatch.setattr(ovstitcher, "across_image", with_all_heads)
    if wrong == "no norm":
        monkeypatch.setattr(dino().network, "norm", nn.Identity())
    found = model.sheet(scene).logits[0].permute(2, 0, 1)
    assert (found - GOLDEN.tensor("pad/patch_logits")).abs().max() > 100 * LOGITS


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
        part = part or OVStitcher()
        model = build_segmentor(example.model, **texts, decoder=part, networks={"dino": network}, **windows)
        return model.segmentor

    return build


def regions_of(height, width, least=0):
    """Blocks of 3 x 4 pixels that belong to one of five segments."""
    blocks = torch.randint(5, (height // 3 + 1, width // 4 + 1), generator=torch.Generator().manual_seed(0))
    return least + 3 * blocks.repeat_interleave(3, dim=0).repeat_interleave(4, dim=1)[:height, :width]


def logits_of(model, pixels, regions):
    """[r, c, Q] of an image [1, 3, h, w]."""
    sheet = model.sheet(model.scene(pixels[0], regions=regions))
    assert sheet.grid.image_size == sheet.grid.window_size == pixels.shape[-2:]
    return sheet.logits[0]


def put_together(windows, corners, patch, size):
    """Patch by patch; windows [r, c, C]."""
    found = [[[] for _ in range(size[1])] for _ in range(size[0])]
    for window, (top, left) in zip(windows, corners, strict=True):
        for row, column in product(range(window.shape[0]), range(window.shape[1])):
            found[top // patch + row][left // patch + column].append(window[row, column])
    return torch.stack([torch.stack(here).mean(dim=0) for row in found for here in row])


def attended(q, k, v, width, allowed=None):
    """Attention of [N, D] head by head; ``width`` channels have one."""
    heads = []
    for one in range(0, q.shape[1], width):
        scores = q[:, one : one + width] @ k[:, one : one + width].T / width**0.5
        scores = scores if allowed is None else scores.masked_fill(~allowed, -torch.inf)
        heads.append(scores.softmax(dim=1) @ v[:, one : one + width])
    return torch.cat(heads, dim=1)


def joined_by_hand(d, numbers, eps):
    """Lists of numbers that became one; the first is that of no segment."""
    ids = sorted(set(numbers.tolist()))
    means = {one: F.normalize(d[numbers == one].mean(dim=0), dim=0) for one in ids[1:]}
    most = max(float(a @ b) for a in means.values() for b in means.values())
    groups = [[ids[0]]]
    for one in ids[1:]:
        near = [group for group in groups[1:] if any(most - float(means[one] @ means[other]) <= eps for other in group)]
        groups = [group for group in groups if group not in near] + [sorted(sum(near, [one]))]
    return [groups[0], *sorted(groups[1:])]


@torch.no_grad()
@pytest.mark.parametrize(("eps", "groups"), [(0.2, 5), (0.3, 3)])
def test_what_the_decoder_computes_written_out(example, micro, built, eps, groups):
    """Six windows, of which four were shifted back and lie beside CLIP's patches."""
    part, (height, width), tower = OVStitcher(eps=eps), (72, 104), built().tower
    pixels, regions = example.image[..., :height, :width], regions_of(height, width, 2)
    corners = [(top, left) for top in (0, 8) for left in (0, 32, 40)]
    windows = [pixels[..., top : top + 64, left : left + 64] for top, left in corners]
    guide, patches = (9, 13), (4, 6)

    last, parts = micro.network.blocks[-1], []
    for window in windows:
        inputs = []
        handle = last.register_forward_hook(lambda _, given, __, inputs=inputs: inputs.append(given[0][0, 1:]))
        micro.features(window)
        handle.remove()
        parts.append((micro.network.norm(inputs[0]), *last.attn.qkv(last.norm1(inputs[0])).chunk(3, dim=1)))
    b, q, k, v = (
        put_together([one.unflatten(0, (8, 8)) for one in ones], corners, 8, guide) for ones in zip(*parts, strict=True)
    )
    b = b + last.attn.proj(attended(q, k, v, 8))
    d = F.normalize(b + last.mlp(last.norm2(b)), dim=1)

    numbers = regions[::8, ::8][:9, :13].flatten()
    joined = joined_by_hand(d, numbers, eps)
    assert len(joined) == groups
    segment = torch.tensor([next(i for i, group in enumerate(joined) if one in group) for one in numbers.tolist()])
    cosines = d @ d.T
    none = (segment == 0)[:, None] | (segment == 0)
    allowed = torch.where(none, cosines > cosines.mean(), segment[:, None] == segment)
    weights = (4 * cosines).masked_fill(~allowed, -torch.inf).softmax(dim=1)

    trunks = [tower.trunk(window, keep=range(tower.depth)) for window in windows]
    blocks, final = example.model.visual.transformer.resblocks, example.model.visual.transformer.resblocks[-1]

    def projected(block, x):
        return F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(3, dim=1)

    def stitch(ones):
        return put_together([one.unflatten(0, (4, 4)) for one in ones], corners, 16, patches)

    middle = []
    for number in range(5, 10):
        inputs = [trunk.blocks[number][0, 1:] for trunk in trunks]
        q, k, v = (stitch(ones) for ones in zip(*(projected(blocks[number], one) for one in inputs), strict=True))
        x = stitch(inputs) + blocks[number].attn.out_proj((q @ k.T / 64**0.5).softmax(dim=1) @ v)
        middle.append(x + blocks[number].mlp(blocks[number].ln_2(x)))
    values = stitch([projected(final, trunk.x[0, 1:])[2] for trunk in trunks])
    through_middle = projected(final, torch.stack(middle).mean(dim=0))[2]

    # Each pixel has the segment of the cell that it falls into.
    rows, columns = (torch.arange(n) * len_ // n for n, len_ in zip((height, width), guide, strict=True))
    on_pixels, semantic = segment.view(guide)[rows][:, columns], []
    for trunk, (top, left) in zip(trunks, corners, strict=True):
        seen = on_pixels[top : top + 64, left : left + 64][::16, ::16].flatten()
        limits = torch.cat([torch.ones(groups, 1), torch.arange(groups)[:, None] == seen], dim=1).bool()
        tokens = trunk.blocks[0][0, :1].expand(groups, -1)
        for number, block in enumerate(blocks):
            _, k, v = projected(block, trunk.blocks[number][0])
            y = attended(projected(block, tokens)[0], k, v, 64, limits)
            tokens = tokens + block.attn.out_proj(y)
            tokens = tokens + block.mlp(block.ln_2(tokens))
        semantic.append(tokens[seen].unflatten(0, (4, 4)).repeat_interleave(2, dim=0).repeat_interleave(2, dim=1))

    def mixed(ones):
        on_guide = F.interpolate(ones.T.reshape(1, -1, *patches), guide, mode="bilinear")[0].flatten(1).T
        return final.attn.out_proj(weights @ on_guide)

    norm = example.model.visual.ln_post
    total = norm(mixed(values)) + norm(mixed(through_middle)) + 0.5 * norm(put_together(semantic, corners, 8, guide))
    expected = F.normalize(total @ example.model.visual.proj, dim=1) @ example.queries.T
    found = logits_of(built(part), pixels, regions).flatten(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_windows_may_pass_through_the_networks_in_any_number(example, built, batch_size):
    pixels, regions = example.image[..., :72, :104], regions_of(72, 104)
    found = logits_of(built(window_batch_size=batch_size), pixels, regions)
    torch.testing.assert_close(found, logits_of(built(), pixels, regions), atol=1e-5, rtol=0)


def test_the_numbers_of_segments_mean_nothing_but_for_the_smallest(example, built):
    pixels, regions = example.image[..., :64, :96], regions_of(64, 96)
    first = logits_of(built(), pixels, regions)
    names = torch.tensor([-7, 10**12, 70001, 12, 10000])
    torch.testing.assert_close(logits_of(built(), pixels, names[regions // 3]), first, atol=1e-6, rtol=0)
    other = logits_of(built(), pixels, torch.where(regions == 0, 99, regions))
    assert (other - first).abs().max() > 1e-3


def test_without_segments_all_of_the_image_is_outside_of_them(example, built):
    pixels = example.image[..., :64, :96]
    expected = logits_of(built(), pixels, torch.full((64, 96), 5))
    with pytest.warns(UserWarning, match="OVStitcher: no segment map came with the image"):
        assert torch.equal(logits_of(built(), pixels, None), expected)
    with pytest.raises(DataError, match=r"OVStitcher: the segment map has 64 x 95 pixels, the labels 64 x 96"):
        logits_of(built(), pixels, torch.zeros(64, 95, dtype=torch.int64))


@pytest.mark.parametrize("least", [0, 4])
def test_margins_are_outside_of_all_segments_or_belong_to_none(example, built, least):
    """40 rows and 64 columns of each window in 56 and 112."""
    pixels, regions = example.image[..., :40, :96], regions_of(40, 96, least)
    model = built(padding=56)
    scene = model.scene(pixels[0], regions=regions)
    keys, grid = model.decoder.keys(scene)
    joined, in_windows = model.decoder.segments(scene, keys, grid)
    assert (scene.windows.grid.margins, grid) == (((8, 8), (24, 24)), (5, 12))
    assert in_windows.shape == (2, 56, 112)
    for margin in (in_windows[:, :8], in_windows[:, 48:], in_windows[..., :24], in_windows[..., 88:]):
        assert set(margin.unique().tolist()) == {0 if least == 0 else -1}
    assert torch.equal(in_windows[0, 8:48:8, 24:88:8], joined[:, :8])
    assert logits_of(model, pixels, regions).isfinite().all()


@pytest.mark.parametrize("least", [0, 4])
def test_a_patch_by_itself(example, built, least):
    """None of the patches of CLIP's that segments are read at lies inside the margins."""
    pixels, regions = example.image[..., :16, :16], regions_of(16, 16, least)
    regions[0, 0] = least
    found, without = (logits_of(built(OVStitcher(beta=beta), padding=56), pixels, regions) for beta in (1.0, 0.0))
    assert found.isfinite().all()
    assert torch.equal(found, without) == (least > 0)  # there is no segment whose class token could be added


@pytest.mark.parametrize(
    ("image", "crop", "stride", "padding", "patch"),
    [
        ((72, 104), 64, 32, 1, 16),
        ((40, 100), 64, 24, 56, 8),
        ((50, 90), 64, 64, 56, 16),
        ((33, 47), 0, 0, 1, 8),
    ],
)
def test_windows_lie_where_they_were_cut(image, crop, stride, padding, patch):
    """Each patch holds its place, so that what is put together is the place but for shifts and margins."""
    grid = window_grid(*image, crop, stride, padding)
    (height, width), corners = grid.padded_size, [(top, left) for top in grid.tops for left in grid.lefts]
    windows = torch.randn(len(grid), height // patch, width // patch, 3, generator=torch.Generator().manual_seed(0))
    canvas = Canvas(grid, (patch, patch))
    canvas.add(windows[:1])
    if len(grid) > 1:
        canvas.add(windows[1:])
    cut = []
    for side, (before, _), have in zip(grid.window_size, grid.margins, windows.shape[1:3], strict=True):
        wanted = side // patch
        first = next(start for start in range(have) if start * patch >= before or start + wanted == have)
        cut.append(slice(first, first + wanted))
    expected = put_together(windows[:, cut[0], cut[1]], corners, patch, (image[0] // patch, image[1] // patch))
    assert canvas.size == (image[0] // patch, image[1] // patch)
    torch.testing.assert_close(canvas.mean(), expected)


@torch.no_grad()
def test_segments_come_to_the_patches_over_the_networks_input(example, built):
    model, regions = built(OVStitcher(eps=0)), regions_of(151, 211)
    scene = model.scene(example.image[0, :, :75, :107], (151, 211), regions=regions)
    keys, grid = model.decoder.keys(scene)
    joined, _ = model.decoder.segments(scene, keys, grid)
    assert torch.equal(3 * joined, nearest(nearest(regions, (75, 107)), grid))
    assert not torch.equal(3 * joined, nearest(regions, grid))


def test_middle_blocks_are_there():
    assert OVStitcher().fitted(12, (16, 16)).middle_blocks == 5
    with pytest.raises(ConfigError, match=r"OVStitcher averages 11 middle blocks, but a tower of 12 blocks has 10"):
        OVStitcher(middle_blocks=11).fitted(12, (16, 16))
    with pytest.raises(
        ConfigError, match=r"OVStitcher reads queries and keys .* Set --model.decoder.network to a DINO"
    ):
        OVStitcher("vit_tiny_patch16_dinov3_qkvb", None).load_network("dino", 16)


def test_windows_that_are_no_whole_patches_and_images_smaller_than_one(example, built):
    pixels = example.image[..., :100, :100]
    with pytest.raises(ConfigError, match=r"Windows of 72 x 72 pixels are no whole number of patches of 16 x 16"):
        logits_of(built(crop=72), pixels, regions_of(100, 100))
    small = example.image[..., :12, :100]
    with pytest.raises(DataError, match=r"An image of 12 x 100 pixels .* is smaller than one patch of 16 x 16"):
        logits_of(built(padding=56), small, regions_of(12, 100))
