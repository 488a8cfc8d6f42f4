from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import LPOSS
from sclip_lightning.refine.graph import patch_graph
from sclip_lightning.windows import Scene, Sheet, Texts, Tokens, WindowGrid, Windows, window_grid
from tests.golden import Recording

GOLDEN = Recording("lposs")


def step_of(case):
    """LPOSS with a recording's numbers; None where distances were squared, which it does not do."""
    meta = GOLDEN.json().get(case) or GOLDEN.json()[f"{case}/lposs"]
    numbers = meta["hp"]
    if numbers["pix_dist_pow"] != 1:
        return None
    return LPOSS(k=meta["k"], **{name: numbers[name] for name in ("gamma", "sigma", "alpha")})


def assert_near(actual, expected, tolerance=1e-5):
    """Equal up to a share of the largest value, as the recording's README has it."""
    assert (actual.double() - expected).abs().max() <= tolerance * expected.abs().max()


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
    if step_of(f"variant/{variant}") is None:
        pytest.skip("squared distances are not offered")
    assert_the_authors_logits(f"variant/{variant}")


def assert_the_authors_logits(case):
    logits, values, grid = recorded_image()
    step = step_of(case)
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
    weights = similarity.clamp(min=0) ** step.gamma * (-step.sigma * distance).exp() * (ranks < step.k)
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
@pytest.mark.parametrize("step", [LPOSS(k=6), LPOSS(), LPOSS(k=9, gamma=1, sigma=0.2, alpha=0.5, steps=4)])
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


def test_windows_are_joined():
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    propagated = LPOSS()(sheet_of(logits, values, grid), scene_of(grid)).logits
    logits = logits.clone()
    logits[-1] += 1
    changed = LPOSS()(sheet_of(logits, values, grid), scene_of(grid)).logits
    assert (propagated[0] - changed[0]).abs().max() > 1e-3


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks_of_windows_and_blocks_of_rows_change_nothing(monkeypatch, chunk):
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    step = LPOSS(k=6)
    expected = step(sheet_of(logits, values, grid), scene_of(grid)).logits
    monkeypatch.setattr(patch_graph, "CPU_BLOCK", chunk * len(logits) * 4)
    tokens = Tokens.join([Tokens(part, grid, values=part) for part in values.split(chunk)])
    actual = step(Sheet(logits, grid, tokens), scene_of(grid)).logits
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


def test_no_share_of_the_neighbours_leaves_logits():
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    torch.testing.assert_close(LPOSS(alpha=0)(sheet_of(logits, values, grid), scene_of(grid)).logits, logits)


def test_logits_keep_their_scale():
    """The same logit everywhere on a uniform graph stays, so that a head made for cosines still fits."""
    grid = window_grid(64, 64, 0, 1)
    values = torch.ones(1, 8, 8, 5)
    logits = torch.full((1, 8, 8, 2), 0.25)
    sheet = LPOSS(sigma=0)(sheet_of(logits, values, grid), scene_of(grid))
    torch.testing.assert_close(sheet.logits, logits)


def test_autocast_has_no_effect():
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    expected = LPOSS(k=6)(sheet_of(logits, values, grid), scene_of(grid)).logits
    with torch.autocast("cpu", torch.bfloat16):
        actual = LPOSS(k=6)(sheet_of(logits, values, grid), scene_of(grid)).logits
    assert torch.equal(actual, expected)


def test_values_of_low_precision_give_float32():
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    low = LPOSS()(sheet_of(logits, values.bfloat16(), grid), scene_of(grid)).logits
    assert low.dtype == torch.float32
    assert torch.equal(low, LPOSS()(sheet_of(logits, values.bfloat16().float(), grid), scene_of(grid)).logits)


@pytest.mark.parametrize("values", [0.0, 1.0])
@pytest.mark.parametrize(("size", "cells"), [((48, 80), (2, 2)), ((16, 16), (1, 1)), ((16, 70), (1, 2))])
def test_flat_and_tiny_images_stay_finite(values, size, cells):
    grid = window_grid(*size, 32, 16)
    logits, _ = random_image(grid, cells)
    sheet = LPOSS()(sheet_of(logits, torch.full((*logits.shape[:3], 4), values), grid), scene_of(grid))
    assert sheet.logits.isfinite().all()
    if values == 0 or logits[..., 0].numel() == 1:  # no edges: every patch keeps its logits, less the common factor
        torch.testing.assert_close(sheet.logits, (1 - LPOSS().alpha) * logits)


def test_values_on_other_cells_are_resized():
    grid = window_grid(48, 80, 32, 16)
    logits, _ = random_image(grid, (2, 3))
    values = torch.randn(len(grid), 4, 4, 6, generator=torch.Generator().manual_seed(1))
    resized = F.interpolate(values.permute(0, 3, 1, 2), (2, 3), mode="bilinear").permute(0, 2, 3, 1)
    actual = LPOSS()(sheet_of(logits, values, grid), scene_of(grid)).logits
    torch.testing.assert_close(actual, LPOSS()(sheet_of(logits, resized, grid), scene_of(grid)).logits)


@pytest.mark.parametrize(
    ("name", "value"),
    [("k", 0), ("gamma", 0.0), ("gamma", float("nan")), ("sigma", -0.1), ("alpha", 1.0), ("alpha", -0.1), ("steps", 0)],
)
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"--model\.refiners: LPOSS's {name} is {value}\. Give .*default"):
        LPOSS(**{name: value})


@pytest.mark.parametrize("values_only", [True, False])
def test_without_values(values_only):
    grid = window_grid(48, 80, 32, 16)
    logits, values = random_image(grid, (2, 2))
    sheet = Sheet(logits, grid, Tokens(values, grid) if values_only else None)
    with pytest.raises(ConfigError, match=r"--model\.refiners has LPOSS.*--model\.decoder"):
        LPOSS()(sheet, scene_of(grid))


def test_it_is_data():
    assert replace(LPOSS(), k=10) == LPOSS(k=10)
    assert LPOSS.works_on == "tokens"
    assert LPOSS.needs == ("values",)
