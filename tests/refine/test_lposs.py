from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.data.reading.benchmark import ClassNames
from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import LPOSS
from sclip_lightning.refine.graph import patch_graph
from sclip_lightning.refine.lposs import on_cells
from sclip_lightning.windows import (
    Scene,
    Sheet,
    Texts,
    Tokens,
    WindowGrid,
    Windows,
    compare_with_texts,
    window_grid,
)
from tests.lposs import (
    FEATURES,
    GOLDEN,
    LABELS,
    PIXELS,
    PROPAGATED,
    assert_near,
    best_names,
    dino,
    image,
    lposs,
    lposs_plus,
    meta,
    numbers,
    propagated,
    resized,
    scene,
    segmentor,
)

#: Of labels, where the head takes the maximum over names after the last resize.
NAMES_LAST = 0.9995


def own(**numbers):
    """LPOSS on the values that come with the logits: its arithmetic without a second network."""
    return LPOSS(network=None, **numbers)


def scene_of(grid):
    pixels = torch.zeros(3, *grid.image_size)
    return Scene(pixels, grid.image_size, Windows(pixels, grid, 4), Texts(torch.eye(2), torch.arange(2)))


def sheet_of(logits, values, grid):
    return Sheet(logits, grid, Tokens(values, grid, values=values))


def recorded_image():
    """The small image's windows, its values in them and its cosines."""
    boxes = GOLDEN.tensor("small/window_boxes_y1y2x1x2").tolist()
    tops, lefts = sorted({top for top, *_ in boxes}), sorted({left for _, _, left, _ in boxes})
    (top, bottom, left, right), last = boxes[0], boxes[-1]
    assert [(box[0], box[2]) for box in boxes] == [(y, x) for y in tops for x in lefts]
    grid = WindowGrid((last[1], last[3]), (bottom - top, right - left), tuple(tops), tuple(lefts))
    shape = (len(boxes), *GOLDEN["small/grid"].flatten().tolist(), -1)
    logits, values = (GOLDEN.tensor(f"small/{key}") for key in ("patch_cosines", "vfm_features"))
    return logits.reshape(shape), values.reshape(shape), grid


@GOLDEN.each("small/patch_propagated")
def test_the_authors_logits():
    assert_the_authors_logits("small")


@GOLDEN.each("variant/{variant}/patch_propagated")
def test_the_authors_logits_with_other_numbers(variant):
    assert_the_authors_logits(f"variant/{variant}")


@torch.no_grad()
@GOLDEN.each("small/clip_features")
def test_the_authors_features_of_both_networks():
    model, here = segmentor("small/lposs").segmentor, scene("small/lposs")
    values = torch.cat([dino().values(chunk) for chunk in here.windows.chunks()])
    assert_near(F.normalize(values.flatten(0, 2), dim=1), GOLDEN.tensor("small/vfm_features"), FEATURES)
    features = model.decoder.decode(here).features.flatten(0, 2)
    assert_near(F.normalize(features, dim=1), GOLDEN.tensor("small/clip_features"), FEATURES)
    cosines = compare_with_texts(features, here.texts)
    assert_near(cosines, GOLDEN.tensor("small/patch_cosines"), FEATURES)


@GOLDEN.each("text/prompt_features")
def test_the_authors_averages_of_prompts():
    """As ``build_text_bank`` has it: unit prompts, their mean, a unit vector."""
    mean = F.normalize(GOLDEN.tensor("text/prompt_features"), dim=-1).mean(dim=0)
    assert_near(F.normalize(mean, dim=0), GOLDEN.tensor("text/features")[0], FEATURES)


@GOLDEN.each("text/class_lines")
def test_the_authors_names_are_split_alike():
    assert classes_of("text") == GOLDEN["text/query_idx"].tolist()


@GOLDEN.each("flat/text/class_lines")
def test_the_authors_names_without_synonyms():
    assert classes_of("flat/text") == GOLDEN["flat/text/query_idx"].tolist()


def classes_of(vocabulary):
    """The class of every name; the authors' lines are split by semicolons."""
    lines = [line.replace(";", ", ") for line in GOLDEN[f"{vocabulary}/class_lines"].tolist()]
    return [index for index, names in enumerate(ClassNames.load(lines).synonyms) for _ in names]


@torch.no_grad()
@GOLDEN.each("big/patch_cosines")
def test_the_authors_cosines_of_a_large_image():
    tokens = segmentor("big/lposs").segmentor.decoder.decode(scene("big/lposs"))
    found = compare_with_texts(tokens.features, scene("big/lposs").texts)
    assert_near(found.flatten(0, 2), GOLDEN.tensor("big/patch_cosines"), FEATURES)


@torch.no_grad()
@GOLDEN.each("whole/vfm_features_rows4")
def test_the_authors_features_of_an_image_taken_whole():
    values = dino().values(image("whole/lposs")[None])
    found = F.normalize(values.flatten(0, 2), dim=1)[::4]
    assert_near(found, GOLDEN.tensor("whole/vfm_features_rows4"), FEATURES)


@GOLDEN.each("{case}/patch_propagated")
def test_the_authors_propagation_from_the_image_on(case):
    """With LPOSS+ after it or without, windows of whole patches (small, big), and padded ones (tiny)."""
    name = f"{case}/lposs" if f"{case}/lposs" in meta() else f"{case}/lposs_plus"
    assert_near(propagated(name), GOLDEN.tensor(f"{case}/patch_propagated"))


@torch.no_grad()
@GOLDEN.each("{image_}/{method}/labels")
def test_the_authors_logits_and_labels(image_, method):
    """With LPOSS+ after it or without, and with other numbers of both.

    They take the maximum over names at the network's size, LPOSS+ as well; LPOSS leaves it to the head.
    """
    case = f"{image_}/{method}"
    model, size, plus = (
        segmentor(case).segmentor,
        tuple(numbers(case)["ori_shape"]),
        numbers(case)["hp"]["pixel_refine"],
    )
    if plus:
        maps = best_names(model.merged_logits(scene(case)).full(), model.query_classes) / (1 - lposs_plus(case).alpha)
    elif numbers(case)["mode"] == "whole":  # theirs then go from patches to labels without the network's size between
        maps = model.sheet(scene(case)).logits[0].permute(2, 0, 1)
    else:
        maps = model.merged_logits(model.scene(image(case))).full()
    if not plus:
        maps = resized(best_names(maps, model.query_classes), size)
    start, step = numbers(case)["logits_subgrid"]
    found, expected = maps[:, start::step, start::step] / (1 - lposs(case).alpha), GOLDEN.tensor(f"{case}/logits")
    assert_near(found, expected, PIXELS if plus else PROPAGATED)
    labels = GOLDEN.tensor(f"{case}/labels")
    assert (maps.argmax(dim=0) == labels).float().mean() >= LABELS
    if numbers(case)["mode"] != "whole" or plus:
        share = (model.predict(image(case), size).labels == labels).float().mean()
        assert share >= (LABELS if plus else NAMES_LAST)


@GOLDEN.each("variant/{variant}/patch_propagated")
def test_the_authors_propagation_with_other_numbers(variant):
    assert_near(propagated(f"variant/{variant}"), GOLDEN.tensor(f"variant/{variant}/patch_propagated"))


@torch.no_grad()
@GOLDEN.each("big/patch_propagated")
@pytest.mark.parametrize("wrong", [{"k": -1}, {"k": 1}, {"steps": -1}, {"steps": 1}])
def test_the_recording_tells_wrong_numbers(wrong):
    right = lposs("big/lposs")
    model = segmentor("big/lposs").segmentor
    (name, change), expected = *wrong.items(), GOLDEN.tensor("big/patch_propagated")
    model.sheet_steps = (replace(right, **{name: getattr(right, name) + change}),)
    found = model.sheet(scene("big/lposs")).logits.flatten(0, 2) / (1 - right.alpha)
    assert (found - expected).abs().max() > 2e-5 * expected.abs().max()


def assert_the_authors_logits(case):
    logits, values, grid = recorded_image()
    step = replace(lposs(case), network=None)
    propagated = step(sheet_of(logits, values, grid), scene_of(grid))
    assert propagated.logits.shape == logits.shape
    expected = (1 - step.alpha) * GOLDEN.tensor(f"{case}/patch_propagated").double()
    assert_near(propagated.logits.flatten(0, 2), expected)


@pytest.mark.golden
def test_defaults_are_the_published_numbers():
    # The recording's large image was made with the published constants.
    numbers = GOLDEN.json()["big/lposs"]["hp"]
    assert {name: numbers[name] for name in ("k", "gamma", "sigma", "alpha")} == {
        "k": LPOSS().k,
        "gamma": LPOSS().gamma,
        "sigma": LPOSS().sigma,
        "alpha": LPOSS().alpha,
    }
    assert max(GOLDEN.json()["big/lposs"]["cg_steps"]) == LPOSS().steps


def by_dense_algebra(step, logits, values, grid, cell):
    """The definition in float64, with full matrices and one query after the other."""
    features = F.normalize(values.flatten(0, 2).double(), dim=1)
    places = [
        (top + cell[0] * i, left + cell[1] * j)
        for top in grid.tops
        for left in grid.lefts
        for i in range(logits.shape[1])
        for j in range(logits.shape[2])
    ]
    places = torch.tensor(places, dtype=torch.float64)
    similarity = features @ features.T
    ranks = similarity.argsort(dim=1, descending=True).argsort(dim=1)
    distance = (places[:, None] - places[None]).norm(dim=-1)
    weights = similarity.clamp(min=0) ** step.gamma * (-step.sigma * distance**step.power).exp() * (ranks < step.k)
    weights = (weights + weights.T).fill_diagonal_(0)
    degree = weights.sum(dim=1)
    degree[degree == 0] = 1
    matrix = torch.eye(len(places), dtype=torch.float64) - step.alpha * weights / (degree[:, None] * degree).sqrt()
    solved = []
    for y in logits.flatten(0, 2).double().T:
        x, r, p = torch.zeros_like(y), y, y
        for _ in range(step.steps):
            if r.norm() <= 1e-6 * y.norm():
                break
            a = (r @ r) / (p @ matrix @ p)
            x, rest = x + a * p, r - a * matrix @ p
            p, r = rest + (rest @ rest) / (r @ r) * p, rest
        solved.append(x)
    return ((1 - step.alpha) * torch.stack(solved, dim=1)).view(logits.shape)


def random_image(grid, cells, queries=3, width=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(grid), *cells, width, generator=generator)
    logits = torch.randn(len(grid), *cells, queries, generator=generator)
    logits[..., 1] = 0
    return logits, values


@pytest.mark.parametrize(
    ("grid", "cells", "cell"),
    [
        (window_grid(48, 80, 32, 16), (2, 2), (16, 16)),
        (window_grid(48, 100, 32, 24), (4, 2), (8, 16)),  # cells that are not square, a last window shifted back
        (window_grid(30, 70, 40, 20, multiple=16), (2, 3), (16, 16)),  # with margins
        (window_grid(64, 96, 0, 1), (4, 6), (16, 16)),  # a decoder that has put its windows together
    ],
)
@pytest.mark.parametrize("step", [own(k=6), own(), own(k=9, gamma=1, sigma=0.2, alpha=0.5, power=0.7, steps=4)])
def test_it_is_the_definition(step, grid, cells, cell):
    logits, values = random_image(grid, cells)
    before = logits.clone(), values.clone()
    sheet = step(sheet_of(logits, values, grid), scene_of(grid))
    assert_near(sheet.logits, by_dense_algebra(step, logits, values, grid, cell))
    assert sheet.logits.dtype == torch.float32
    assert sheet.grid == grid
    assert torch.equal(sheet.tokens.values, values)
    assert torch.equal(logits, before[0])
    assert torch.equal(values, before[1])


class Second:
    """A second network whose values are the average colours of patches of 8 pixels, and a constant."""

    patch_size = (8, 8)

    def values(self, windows):
        means = F.avg_pool2d(windows, 8).permute(0, 2, 3, 1)
        return torch.cat([means, torch.full_like(means[..., :1], 0.5)], dim=-1)


def second_scene(height, width, crop, stride, cells, queries=5):
    """A scene with such a network, and the sheet of a decoder whose windows have these cells."""
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randn(3, height, width, generator=generator)
    grid = window_grid(height, width, crop, stride)
    texts = Texts(F.normalize(torch.randn(queries, 6, generator=generator), dim=1), torch.arange(queries))
    features = torch.randn(len(grid), *cells, 6, generator=generator)
    scene = Scene(pixels, (height, width), Windows(pixels, grid, 2), texts, {"lposs": Second()})
    return scene, Sheet(compare_with_texts(features, texts), grid, Tokens(features, grid))


@pytest.mark.parametrize("cells", [(4, 4), (2, 2), (3, 5)])
def test_the_graph_is_that_of_the_second_network_on_its_cells(cells):
    """CLIP's features are resized, normalised and compared again; positions are those of the second's patches."""
    scene, sheet = second_scene(48, 80, 32, 16, cells)
    found = LPOSS()(sheet, scene)  # all are neighbours: patches that two windows share are ties
    unit = F.normalize(sheet.tokens.features, dim=-1).permute(0, 3, 1, 2)
    features = F.normalize(F.interpolate(unit, (4, 4), mode="bilinear"), dim=1).permute(0, 2, 3, 1)
    values = Second().values(scene.windows.pixels)
    expected = by_dense_algebra(LPOSS(), features @ scene.texts.queries.T, values, sheet.grid, (8, 8))
    assert_near(found.logits, expected)
    assert found.grid == sheet.grid
    assert found.tokens.features.shape[:3] == found.logits.shape[:3]


def test_what_was_added_to_the_cosines_is_kept_on_other_cells():
    scene, sheet = second_scene(48, 80, 32, 16, (2, 2))
    prior = torch.randn(sheet.logits.shape[-1], generator=torch.Generator().manual_seed(3))
    plain = on_cells(sheet, (4, 4), scene.texts)
    changed = on_cells(replace(sheet, logits=sheet.logits + prior), (4, 4), scene.texts)
    torch.testing.assert_close(changed.logits, plain.logits + prior)
    assert on_cells(sheet, (2, 2), scene.texts) is sheet


@pytest.mark.parametrize(("crop", "padding"), [(32, 1), (80, 56)])
def test_a_decoder_that_has_put_its_windows_together_is_joined_over_the_whole_image(crop, padding):
    """Even one window is not the image, where it has margins."""
    scene, _ = second_scene(48, 80, crop, 16, (4, 4))
    scene = replace(scene, windows=Windows(scene.pixels, window_grid(48, 80, crop, 16, padding), 2))
    features = torch.randn(1, 6, 10, 6, generator=torch.Generator().manual_seed(4))
    grid = window_grid(48, 80, 0, 1)
    sheet = Sheet(compare_with_texts(features, scene.texts), grid, Tokens(features, grid))
    values = Second().values(scene.pixels[None])
    expected = by_dense_algebra(LPOSS(k=9), sheet.logits, values, grid, (8, 8))
    assert_near(LPOSS(k=9)(sheet, scene).logits, expected)


def test_windows_are_joined():
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    propagated = own()(sheet_of(logits, values, grid), scene_of(grid)).logits
    logits = logits.clone()
    logits[-1] += 1
    changed = own()(sheet_of(logits, values, grid), scene_of(grid)).logits
    assert (propagated[0] - changed[0]).abs().max() > 1e-3


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks_of_windows_and_blocks_of_rows_change_nothing(monkeypatch, chunk):
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    step = own(k=6)
    expected = step(sheet_of(logits, values, grid), scene_of(grid)).logits
    monkeypatch.setattr(patch_graph, "CPU_BLOCK", chunk * len(logits) * 4)
    tokens = Tokens.join([Tokens(part, grid, values=part) for part in values.split(chunk)])
    actual = step(Sheet(logits, grid, tokens), scene_of(grid)).logits
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


def test_no_share_of_the_neighbours_leaves_logits():
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    torch.testing.assert_close(own(alpha=0)(sheet_of(logits, values, grid), scene_of(grid)).logits, logits)


def test_logits_keep_their_scale():
    """The same logit everywhere on a uniform graph stays, so that a head made for cosines still fits."""
    grid = window_grid(64, 64, 0, 1)
    values = torch.ones(1, 8, 8, 5)
    logits = torch.full((1, 8, 8, 2), 0.25)
    sheet = own(sigma=0)(sheet_of(logits, values, grid), scene_of(grid))
    torch.testing.assert_close(sheet.logits, logits)


def test_autocast_has_no_effect():
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    expected = own(k=6)(sheet_of(logits, values, grid), scene_of(grid)).logits
    with torch.autocast("cpu", torch.bfloat16):
        actual = own(k=6)(sheet_of(logits, values, grid), scene_of(grid)).logits
    assert torch.equal(actual, expected)


def test_values_of_low_precision_give_float32():
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    low = own()(sheet_of(logits, values.bfloat16(), grid), scene_of(grid)).logits
    assert low.dtype == torch.float32
    assert torch.equal(low, own()(sheet_of(logits, values.bfloat16().float(), grid), scene_of(grid)).logits)


@pytest.mark.parametrize("values", [0.0, 1.0])
@pytest.mark.parametrize(("size", "cells"), [((48, 80), (2, 2)), ((16, 16), (1, 1)), ((16, 70), (1, 2))])
def test_flat_and_tiny_images_stay_finite(values, size, cells):
    grid = window_grid(*size, 32, 16)
    logits, _ = random_image(grid, cells)
    sheet = own()(sheet_of(logits, torch.full((*logits.shape[:3], 4), values), grid), scene_of(grid))
    assert sheet.logits.isfinite().all()
    if values == 0 or logits[..., 0].numel() == 1:  # no edges: every patch keeps its logits, less the common factor
        torch.testing.assert_close(sheet.logits, (1 - own().alpha) * logits)


def test_values_on_other_cells_are_resized():
    grid = window_grid(48, 80, 32, 16)
    logits, _ = random_image(grid, (2, 3))
    values = torch.randn(len(grid), 4, 4, 6, generator=torch.Generator().manual_seed(1))
    resized = F.interpolate(values.permute(0, 3, 1, 2), (2, 3), mode="bilinear").permute(0, 2, 3, 1)
    actual = own()(sheet_of(logits, values, grid), scene_of(grid)).logits
    torch.testing.assert_close(actual, own()(sheet_of(logits, resized, grid), scene_of(grid)).logits)


@pytest.mark.parametrize(
    ("name", "value"),
    [("k", 0), ("gamma", 0.0), ("gamma", float("nan")), ("sigma", -0.1), ("alpha", 1.0), ("alpha", -0.1), ("steps", 0)],
)
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"--model\.refiners: LPOSS's {name} is {value}\. Give .*default"):
        own(**{name: value})


@pytest.mark.parametrize("values_only", [True, False])
def test_without_values(values_only):
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    sheet = Sheet(logits, grid, Tokens(values, grid) if values_only else None)
    with pytest.raises(ConfigError, match=r"--model\.refiners has LPOSS.*--model\.decoder"):
        own()(sheet, scene_of(grid))


def test_it_is_data():
    assert replace(own(), k=10) == own(k=10)
    assert LPOSS.works_on == "tokens"
    assert (LPOSS().needs, LPOSS().networks) == ((), ("lposs",))
    assert (own().needs, own().networks) == (("values",), ())
