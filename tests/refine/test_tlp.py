"""TLP against the recording of its authors' code, solved in float64 there as here, and against dense algebra."""

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import TLP
from sclip_lightning.refine.tlp import coarse_logits, pooling_strides, propagated
from sclip_lightning.windows import MergedLogits, Scene, Sheet, Texts, WindowGrid, Windows, window_grid
from tests.pearl import GOLDEN, prediction

#: As the recording's README has it, for the solution in float64.
LOGITS = 1e-5


def run(step, logits, pixels, texts):
    """The step on logits [Q, H, W] at the size of the image, and the merge of what it returns."""
    size = tuple(logits.shape[1:])
    grid = WindowGrid(size, size, (0,), (0,))
    scene = Scene(pixels, size, Windows(pixels, grid, 1), Texts(texts, torch.arange(len(texts))))
    sheet = step(Sheet(logits.permute(1, 2, 0)[None], grid), scene)
    return MergedLogits(sheet.logits, sheet.grid, size).full()


@GOLDEN.each("tlp/{unit}/out_f64cg_sub{step}")
def test_units(unit, step):
    meta = GOLDEN.json()["tlp_units"][unit]
    pixels = (GOLDEN.tensor(f"tlp/{unit}/image_u8").float() - GOLDEN.tensor("mean")) / GOLDEN.tensor("std")
    logits, texts = GOLDEN.tensor(f"tlp/{unit}/logits_in").float(), GOLDEN.tensor(f"tlp/{unit}/text")
    size = tuple(logits.shape[1:])
    assert pooling_strides(size, meta["grid"]) == tuple(GOLDEN[f"tlp/{unit}/strides"].tolist())
    tlp = TLP(meta["grid"], GOLDEN.json()["tlp"]["cg_iterations"])
    found = run(tlp, logits, pixels.permute(2, 0, 1), texts)[:, 1 :: int(step), :: int(step)]
    torch.testing.assert_close(found, GOLDEN.tensor(f"tlp/{unit}/out_f64cg_sub{step}"), atol=LOGITS, rtol=0)


@GOLDEN.each("predict/{case}/logits_f64cg_sub{step}")
def test_logits_of_images(case, step):
    model, pixels, size = prediction(case)
    found = model.logits(pixels, size)[0][:, 5 :: int(step), 3 :: int(step)]
    torch.testing.assert_close(found, GOLDEN.tensor(f"predict/{case}/logits_f64cg_sub{step}"), atol=LOGITS, rtol=0)


@GOLDEN.each("predict/{case}/pred_t{threshold}_f64cg")
def test_labels_of_images(case, threshold):
    model, pixels, size = prediction(case, float(threshold))
    expected = GOLDEN.tensor(f"predict/{case}/pred_t{threshold}_f64cg")
    assert (model.predict(pixels, size)[0] == expected).float().mean() >= 0.9999


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
    with pytest.raises(ConfigError, match="TLP with grid"):
        TLP(**numbers)
