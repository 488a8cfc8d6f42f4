"""LPOSS+ against the recording of its authors' code, and what no recording says."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import LPOSSPlus, lposs_plus
from sclip_lightning.refine.graph.conjugate_gradient import conjugate_gradient
from sclip_lightning.refine.graph.pixel_graph import lab, pixel_graph, system
from sclip_lightning.refine.lposs_plus import best_name_first
from sclip_lightning.windows import MergedLogits, Scene, Sheet, Texts, WindowGrid, Windows, window_grid
from sclip_lightning.windows.colours import CLIP_MEAN, CLIP_STD
from tests.lposs import (
    GOLDEN,
    LABELS,
    PIXELS,
    PROPAGATED,
    assert_near,
    meta,
    numbers,
    scene,
    segmentor,
)
from tests.lposs import lposs_plus as plus_of

#: Rows and columns from the first on and every so many that the recording keeps of maps at the network's size.
START, STEP = 3, 8


def normalised(rgb):
    """[3, H, W] uint8 in CLIP's normalisation."""
    mean, std = torch.tensor([CLIP_MEAN, CLIP_STD])[..., None, None]
    return (rgb.float() / 255 - mean) / std


def run(step, logits, rgb, classes=None):
    """The step on logits [Q, H, W] at the size of the image; [Q, H, W]."""
    size = tuple(logits.shape[1:])
    grid, pixels = WindowGrid(size, size, (0,), (0,)), normalised(rgb)
    texts = Texts(torch.eye(len(logits)), torch.arange(len(logits)) if classes is None else classes)
    sheet = step(Sheet(logits.permute(1, 2, 0)[None], grid), Scene(pixels, size, Windows(pixels, grid, 1), texts))
    assert sheet.grid == grid
    return sheet.logits[0].permute(2, 0, 1)


@GOLDEN.each("unit/pixel/{unit}/propagated")
def test_the_authors_pixels(unit):
    hp = meta()[f"unit/pixel/{unit}"]
    rgb, logits = GOLDEN.tensor("unit/pixel/image_u8").permute(2, 0, 1), GOLDEN.tensor("unit/pixel/logits")
    found = run(LPOSSPlus(hp["r"], hp["tau"], hp["alpha"]), logits, rgb) / (1 - hp["alpha"])
    assert_near(found, GOLDEN.tensor(f"unit/pixel/{unit}/propagated"), PIXELS)
    assert (found.argmax(dim=0) == GOLDEN.tensor(f"unit/pixel/{unit}/labels")).float().mean() >= LABELS


@torch.no_grad()
@GOLDEN.each("small/pixel_propagated")
def test_the_authors_maps_at_the_networks_size():
    """Merged logits of all queries, and these after the pixels' graph, where names are not sorted yet."""
    case = "small/lposs_plus"
    model = segmentor(case).segmentor
    here, (first, second) = scene(case), model.sheet_steps
    model.sheet_steps = (first,)
    sheet = model.sheet(here)
    merged = MergedLogits(sheet.logits, sheet.grid, tuple(here.pixels.shape[1:])).full()
    shares = (1 - first.alpha), (1 - first.alpha) * (1 - second.alpha)
    assert_near(merged[:, START::STEP, START::STEP] / shares[0], GOLDEN.tensor("small/merged"), PROPAGATED)
    each = replace(here, texts=replace(here.texts, classes=torch.arange(len(merged))))
    found = second(sheet, each).logits[0].permute(2, 0, 1)[:, START::STEP, START::STEP] / shares[1]
    assert_near(found, GOLDEN.tensor("small/pixel_propagated"), PIXELS)


@pytest.mark.golden
def test_defaults_are_the_published_numbers():
    # The recording's large image was made with the published constants.
    assert plus_of("big/lposs_plus") == LPOSSPlus()
    assert max(numbers("big/lposs_plus")["cg_steps"]) == LPOSSPlus().steps


@GOLDEN.each("unit/pixel/{unit}/propagated")
@pytest.mark.parametrize("wrong", ["steps", "solved", "neighbours", "rgb", "lab scale", "squared"])
def test_the_recording_tells_wrong_variants(unit, wrong):
    hp = meta()[f"unit/pixel/{unit}"]
    rgb, logits = GOLDEN.tensor("unit/pixel/image_u8").permute(2, 0, 1), GOLDEN.tensor("unit/pixel/logits")
    step = LPOSSPlus(hp["r"], hp["tau"], hp["alpha"])
    colours = lab(rgb / 255) / torch.tensor([100.0, 128, 128])[:, None, None]
    if wrong in ("steps", "solved", "neighbours"):
        change = {"steps": {"steps": 9}, "solved": {"steps": 60}, "neighbours": {"neighbours": hp["r"] - 2}}[wrong]
        found = run(replace(step, **change), logits, rgb) / (1 - hp["alpha"])
    else:
        colours = {"rgb": rgb / 255, "lab scale": lab(rgb / 255) / 255, "squared": colours / 2}[wrong]
        matrix = system(pixel_graph(colours, hp["r"], hp["tau"]), hp["alpha"])
        found = conjugate_gradient(matrix.product, logits.flatten(1).T.contiguous(), 10).T.view_as(logits)
    expected = GOLDEN.tensor(f"unit/pixel/{unit}/propagated")
    assert (found - expected).abs().max() > 2 * PIXELS * expected.abs().max()


def example(size=(21, 30), queries=5, seed=0):
    """Logits [Q, H, W], and an image in a few flat colours."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(256, (3, 4, 5), generator=generator, dtype=torch.uint8)
    rgb = F.interpolate(patches[None].float(), size, mode="nearest")[0].byte()
    return torch.randn(queries, *size, generator=generator), rgb


@pytest.mark.parametrize("together", [1, 2, 4])
def test_queries_may_be_worked_on_in_any_chunks(monkeypatch, together):
    logits, rgb = example(queries=10)
    expected = run(LPOSSPlus(), logits, rgb)
    monkeypatch.setattr(lposs_plus, "FEWEST", together)
    monkeypatch.setattr(lposs_plus, "CPU_BLOCK", 1)
    torch.testing.assert_close(run(LPOSSPlus(), logits, rgb), expected, atol=1e-6, rtol=1e-5)
    for query in (0, 9):
        alone = run(LPOSSPlus(), logits[query : query + 1], rgb)
        torch.testing.assert_close(alone, expected[query : query + 1], atol=1e-6, rtol=1e-5)


def test_windows_are_merged_at_the_networks_size():
    """Whatever the size of the output is; the head then resizes."""
    grid, (_, rgb) = window_grid(48, 80, 32, 16), example((48, 80))
    windows = torch.randn(len(grid), 2, 2, 3, generator=torch.Generator().manual_seed(1))
    pixels = normalised(rgb)
    texts = Texts(torch.eye(3), torch.arange(3))
    found = LPOSSPlus()(Sheet(windows, grid), Scene(pixels, (33, 50), Windows(pixels, grid, 2), texts))
    expected = run(LPOSSPlus(), MergedLogits(windows, grid, (48, 80)).full(), rgb)
    torch.testing.assert_close(found.logits[0].permute(2, 0, 1), expected, atol=1e-6, rtol=1e-5)
    coarse = WindowGrid((6, 10), (6, 10), (0,), (0,))  # one window that is the image, at another size
    one = torch.randn(1, 6, 10, 3, generator=torch.Generator().manual_seed(2))
    found = LPOSSPlus()(Sheet(one, coarse), Scene(pixels, (33, 50), Windows(pixels, grid, 2), texts))
    maps = F.interpolate(one.permute(0, 3, 1, 2), (48, 80), mode="bilinear")[0]
    torch.testing.assert_close(found.logits[0].permute(2, 0, 1), run(LPOSSPlus(), maps, rgb), atol=1e-6, rtol=1e-5)


def test_names_of_a_class_are_sorted_pixel_by_pixel():
    logits, rgb = example(queries=6)
    classes = torch.tensor([0, 1, 0, 2, 0, 1])
    plain, found = run(LPOSSPlus(), logits, rgb), run(LPOSSPlus(), logits, rgb, classes)
    for index in range(3):
        expected = plain[classes == index].sort(dim=0, descending=True).values
        assert torch.equal(found[classes == index], expected)
    maps = torch.randn(3, 4, 5)
    before = maps.clone()
    best_name_first(maps, torch.arange(4))
    assert torch.equal(maps, before)


def test_no_share_of_the_neighbours_leaves_logits():
    logits, rgb = example()
    torch.testing.assert_close(run(LPOSSPlus(alpha=0), logits, rgb), logits)


def test_colours_are_those_of_the_image_in_256_steps():
    """Its way through another normalisation must not move the edges."""
    logits, rgb = example()
    size = tuple(logits.shape[1:])
    grid, texts = WindowGrid(size, size, (0,), (0,)), Texts(torch.eye(5), torch.arange(5))
    found = []
    for shift in (0, 1e-3):
        pixels = normalised(rgb) + shift
        scene = Scene(pixels, size, Windows(pixels, grid, 1), texts)
        found.append(LPOSSPlus()(Sheet(logits.permute(1, 2, 0)[None], grid), scene).logits)
    assert torch.equal(*found)


def test_autocast_has_no_effect():
    logits, rgb = example()
    expected = run(LPOSSPlus(), logits, rgb)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(LPOSSPlus(), logits, rgb), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("neighbours", 0), ("tau", 0.0), ("alpha", 1.0), ("steps", 0), ("tau", float("nan"))],
)
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"--model\.refiners: LPOSSPlus's {name} is {value}\. Give .*default"):
        LPOSSPlus(**{name: value})
