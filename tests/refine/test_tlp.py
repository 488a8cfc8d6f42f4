"""TLP against the recording of its authors' code, solved in float64 there as here, and against dense algebra."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import TLP
from sclip_lightning.refine.tlp import coarse_logits, pooling_strides, propagated, system_weights, text_gain
from sclip_lightning.windows import MergedLogits, Scene, Sheet, Texts, WindowGrid, Windows, window_grid
from tests.pearl import GOLDEN, prediction

#: As the recording's README has it, for the solution in float64, and for edges, confidence and texts.
LOGITS, LABELS, WEIGHTS = 1e-5, 0.9999, 2e-6
#: The released code solves in float32: (logits, labels) where that does little, and where it moves logits itself.
RELEASED, RELEASED_UNSTABLE, UNSTABLE = (1e-4, 0.999), (1e-2, 0.998), 1e-4


def run(step, logits, pixels, texts):
    """The step on logits [Q, H, W] at the size of the image, and the merge of what it returns."""
    size = tuple(logits.shape[1:])
    grid = WindowGrid(size, size, (0,), (0,))
    scene = Scene(pixels, size, Windows(pixels, grid, 1), Texts(texts, torch.arange(len(texts))))
    sheet = step(Sheet(logits.permute(1, 2, 0)[None], grid), scene)
    return MergedLogits(sheet.logits, sheet.grid, size).full()


def unit_inputs(unit):
    """Logits [Q, H, W], pixels [3, H, W] and texts of a unit, and its step."""
    pixels = (GOLDEN.tensor(f"tlp/{unit}/image_u8").float() - GOLDEN.tensor("mean")) / GOLDEN.tensor("std")
    logits, texts = GOLDEN.tensor(f"tlp/{unit}/logits_in").float(), GOLDEN.tensor(f"tlp/{unit}/text")
    tlp = TLP(GOLDEN.json()["tlp_units"][unit]["grid"], GOLDEN.json()["tlp"]["cg_iterations"])
    return tlp, logits, pixels.permute(2, 0, 1), texts


def released(case):
    """How near the released code's float32 solve can be met, by how far it is from its own in float64."""
    return RELEASED_UNSTABLE if GOLDEN.json()["cg_float32_minus_float64"][case] > UNSTABLE else RELEASED


@GOLDEN.each("tlp/{unit}/{what}_sub{step}")
def test_units(unit, what, step):
    tlp, logits, pixels, texts = unit_inputs(unit)
    assert pooling_strides(tuple(logits.shape[1:]), tlp.grid) == tuple(GOLDEN[f"tlp/{unit}/strides"].tolist())
    found = run(replace(tlp, texts=not what.startswith("no_text")), logits, pixels, texts)[
        :, 1 :: int(step), :: int(step)
    ]
    expected = GOLDEN.tensor(f"tlp/{unit}/{what}_sub{step}")
    tolerance = LOGITS if what.endswith("f64cg") else released(f"tlp/{unit}")[0]
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@GOLDEN.each("tlp/{unit}/trust")
def test_weights_of_units(unit):
    tlp, logits, pixels, texts = unit_inputs(unit)
    strides = pooling_strides(tuple(logits.shape[1:]), tlp.grid)
    pooled = (F.avg_pool2d(maps[None], strides, strides)[0] for maps in (logits, pixels))
    for name, found in zip(("trust", "edge_right", "edge_down"), system_weights(*pooled, texts), strict=True):
        torch.testing.assert_close(found, GOLDEN.tensor(f"tlp/{unit}/{name}"), atol=WEIGHTS, rtol=0)
    torch.testing.assert_close(text_gain(texts), GOLDEN.tensor(f"tlp/{unit}/S_diagonal"), atol=WEIGHTS, rtol=0)


@GOLDEN.each("predict/{attention}_tlp{grid}_{image}/{what}_sub{step}")
def test_logits_of_images(attention, grid, image, what, step):
    case = f"{attention}_tlp{grid}_{image}"
    model, pixels, size = prediction(case)
    found = model.logits(pixels, size)[0][:, 5 :: int(step), 3 :: int(step)]
    tolerance = LOGITS if what.endswith("f64cg") else released(f"predict/{case}")[0]
    torch.testing.assert_close(found, GOLDEN.tensor(f"predict/{case}/{what}_sub{step}"), atol=tolerance, rtol=0)


@GOLDEN.each("predict/{attention}_tlp{grid}_{image}/pred_t{which}")
def test_labels_of_images(attention, grid, image, which):
    case, threshold = f"{attention}_tlp{grid}_{image}", which.removesuffix("_f64cg")
    model, pixels, size = prediction(case, float(threshold))
    share = (model.predict(pixels, size)[0] == GOLDEN.tensor(f"predict/{case}/pred_t{which}")).float().mean()
    assert share >= (released(f"predict/{case}")[1] if which == threshold else LABELS)


def test_merge_and_pooling_in_one():
    grid = window_grid(96, 150, 64, 40)
    logits = torch.randn(len(grid), 4, 4, 3, generator=torch.Generator().manual_seed(0))
    whole = MergedLogits(logits, grid, (75, 131)).full()
    found = coarse_logits(Sheet(logits, grid), (75, 131), (4, 7))
    torch.testing.assert_close(found, F.avg_pool2d(whole[None], (4, 7), (4, 7))[0], atol=1e-6, rtol=0)


def test_many_steps_solve_the_system():
    generator = torch.Generator().manual_seed(3)
    logits, guide = torch.randn(3, 5, 6, generator=generator), torch.randn(3, 5, 6, generator=generator)
    texts = F.normalize(torch.randn(3, 4, generator=generator), dim=1)
    found = propagated(logits, guide, texts, 500)
    p = logits.softmax(0)
    gain = (((texts @ texts.T / 0.5).softmax(1).diagonal() + 10) / (11 + 1e-6))[:, None, None]
    trust = p.amax(0).clamp(min=0.05) ** 2 * (1 + (gain * p**2).sum(0).clamp(0, 1))
    grey = 0.299 * guide[0] + 0.587 * guide[1] + 0.114 * guide[2]
    matrix = torch.diag(trust.flatten().double())
    for axis in (0, 1):
        pairs = [((y, x), (y + 1 - axis, x + axis)) for y in range(5 - 1 + axis) for x in range(6 - axis)]
        differences = torch.stack([(grey[a] - grey[b]).abs() for a, b in pairs])
        for (a, b), e in zip(pairs, differences / (differences.mean() + 1e-6), strict=True):
            together = (gain[:, 0, 0] * p[:, a[0], a[1]] * p[:, b[0], b[1]]).sum().clamp(0, 1)
            weight = (torch.exp(-5 * e) * (1 + together)).clamp(0, 1).double()
            i, j = a[0] * 6 + a[1], b[0] * 6 + b[1]
            matrix[[i, j, i, j], [i, j, j, i]] += torch.stack([weight, weight, -weight, -weight])
    expected = torch.linalg.solve(matrix, (trust * logits).double().flatten(1).T).T.view(3, 5, 6)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (1, 1)])
def test_single_rows_and_columns(size):
    found = propagated(torch.randn(2, *size), torch.randn(3, *size), torch.eye(2))
    assert found.isfinite().all()


def test_constant_logits_stay():
    found = propagated(torch.full((2, 6, 7), 0.3), torch.randn(3, 6, 7), torch.eye(2))
    torch.testing.assert_close(found, torch.full((2, 6, 7), 0.3))


def test_halves_are_rounded_to_even():
    assert pooling_strides((200, 280), 80) == (2, 4)
    assert pooling_strides((10, 79), 80) == (1, 1)


@pytest.mark.parametrize("numbers", [{"grid": 0}, {"steps": -1}])
def test_numbers_out_of_range(numbers):
    with pytest.raises(ConfigError, match=r"--model.refiners: TLP.s (grid|steps) is"):
        TLP(**numbers)
