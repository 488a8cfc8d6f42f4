"""The separable merge against the published loop, written plainly."""

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.windows import merge
from sclip_lightning.windows.grid import window_grid
from sclip_lightning.windows.merge import MergedLogits, bilinear_operator, merge_operators


def plain_loop(logits, grid, output_size):
    """Resize each window's logits, add, count, divide, resize; in float64, where interpolate knows its positions."""
    queries = logits.shape[-1]
    logits = logits.double()
    canvas, count = logits.new_zeros(1, queries, *grid.image_size), logits.new_zeros(1, 1, *grid.image_size)
    height, width = grid.window_size
    windows = iter(logits)
    for y in grid.tops:
        for x in grid.lefts:
            window = next(windows).permute(2, 0, 1)[None]
            canvas[..., y : y + height, x : x + width] += F.interpolate(window, (height, width), mode="bilinear")
            count[..., y : y + height, x : x + width] += 1
    return F.interpolate(canvas / count, output_size, mode="bilinear")[0].float()


@pytest.mark.parametrize(
    ("size", "crop", "stride", "output_size"),
    [
        ((336, 448), 224, 112, (375, 500)),
        ((337, 451), 224, 112, (336, 449)),  # odd sizes, windows shifted back
        ((160, 300), 224, 112, (107, 200)),  # one side below the crop
        ((90, 61), 224, 112, (51, 333)),  # both sides below the crop
        ((100, 230), 64, 40, (100, 230)),  # crop no multiple of the stride
        ((65, 200), 32, 32, (17, 800)),  # no overlap but for the last
        ((200, 333), 0, 112, (400, 111)),  # whole image
        ((48, 48), 24, 5, (48, 50)),  # many offsets
    ],
)
def test_equals_the_plain_loop(size, crop, stride, output_size):
    grid = window_grid(*size, crop, stride)
    cells = (max(grid.window_size[0] // 16, 1), max(grid.window_size[1] // 16, 1))
    torch.manual_seed(0)
    logits = torch.randn(len(grid), *cells, 5)
    merged = MergedLogits(logits, grid, output_size).full()
    torch.testing.assert_close(merged, plain_loop(logits, grid, output_size), atol=1e-5, rtol=0)


def test_blocks_do_not_depend_on_their_size(monkeypatch):
    grid = window_grid(336, 448, 224, 112)
    logits = torch.randn(len(grid), 14, 14, 3)
    whole = MergedLogits(logits, grid, (120, 160)).full()
    monkeypatch.setattr(merge, "CPU_BLOCK", 3 * 160 * 7)
    merged = MergedLogits(logits, grid, (120, 160))
    rows = [rows for rows, _ in merged]
    assert [r.start for r in rows] == list(range(0, 120, 7))
    assert rows[-1].stop == 120
    torch.testing.assert_close(merged.full(), whole)


def test_a_row_wider_than_a_block_still_comes(monkeypatch):
    monkeypatch.setattr(merge, "CPU_BLOCK", 1)
    grid = window_grid(64, 64, 0, 1)
    assert MergedLogits(torch.randn(1, 4, 4, 2), grid, (5, 6)).full().shape == (2, 5, 6)


def test_low_blocks_within_a_row_of_cells_gather_it_once(monkeypatch):
    monkeypatch.setattr(merge, "CPU_BLOCK", 1)
    grid = window_grid(64, 64, 48, 16)
    merged = MergedLogits(torch.randn(len(grid), 6, 6, 3), grid, (256, 64))
    gathered, cells = [], MergedLogits._cells
    monkeypatch.setattr(MergedLogits, "_cells", lambda *given: gathered.append(0) or cells(*given))
    assert len(list(merged)) == 256
    assert len(gathered) < 256 / 4  # 8 rows of cells, between which, and at windows' edges, others are gathered


@pytest.mark.parametrize(("source", "target"), [(14, 224), (14, 14), (1, 9), (448, 375), (30, 7), (597, 640)])
def test_bilinear_operator_is_interpolate(source, target):
    line = torch.randn(1, 1, source, dtype=torch.float64)
    expected = F.interpolate(line, target, mode="linear", align_corners=False)[0, 0]
    torch.testing.assert_close(bilinear_operator(source, target) @ line[0, 0], expected)


def test_operators_are_averages():
    for operator in merge_operators(window_grid(337, 451, 224, 112), (14, 14), (375, 500)):
        assert (operator >= 0).all()
        torch.testing.assert_close(operator.sum(dim=1), torch.ones(len(operator)))
