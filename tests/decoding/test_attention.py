"""Rows of the table of attentions, against maps written out."""

from typing import get_args

import pytest
import torch

from sclip_lightning.decoding import LastBlock, NeighbourAttention, SemanticFeedback
from sclip_lightning.decoding.attention import AttentionName, attention_of, gaussian_window
from sclip_lightning.errors import ConfigError

GRID, CHANNELS = (2, 3), 4
#: Which projections each variant compares.
PAIRS = {"vanilla": "qk", "maskclip": "", "sclip": "qq kk", "clearclip": "qq", "naclip": "kk", "segearth": "qq kk vv"}
KEEP_RESIDUAL = {"vanilla", "sclip"}


@pytest.fixture
def projections():
    """Queries, keys and values [2, 3, 1 + 6, 4]."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(2, 3, 7, CHANNELS, generator=generator) for name in "qkv"}


def test_the_tests_know_every_row():
    assert set(PAIRS) == set(get_args(AttentionName))


@pytest.mark.parametrize("name", PAIRS)
def test_rows_are_sums_of_softmax_maps(projections, name):
    bias, gain = torch.randn(2, 1, 7, 7, generator=torch.Generator().manual_seed(1)), 1.7
    added = bias + gaussian_window(*GRID, 5.0) if name == "naclip" else bias
    maps = [projections[a] @ projections[b].mT * gain / CHANNELS**0.5 + added for a, b in PAIRS[name].split()]
    expected = sum(map_.softmax(dim=-1) @ projections["v"] for map_ in maps) if maps else projections["v"]
    actual = attention_of(name)(*projections.values(), GRID, bias, gain)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_what_the_papers_keep_of_the_block(name):
    attention = attention_of(name)
    assert attention.keeps_residual == (name in KEEP_RESIDUAL)
    assert attention.has_logits == bool(PAIRS[name])
    assert LastBlock(name).settled().residual == attention.keeps_residual
    assert LastBlock(name, residual=not attention.keeps_residual).settled().residual != attention.keeps_residual


@pytest.mark.parametrize("std", [1.0, 5.0])
def test_neighbours_lie_under_a_gaussian(std):
    window = gaussian_window(*GRID, std)
    assert torch.equal(window[0], torch.zeros(7))
    assert torch.equal(window[:, 0], torch.zeros(7))
    for a in range(6):
        for b in range(6):
            squared = (a // 3 - b // 3) ** 2 + (a % 3 - b % 3) ** 2
            assert window[1 + a, 1 + b].item() == pytest.approx(torch.tensor(-squared / (2 * std**2)).exp().item())


def test_unknown_and_impossible_attentions_are_refused():
    with pytest.raises(ConfigError, match=r"no attention 'quux' \(--model\.decoder\.attention\).*segearth"):
        attention_of("quux")
    for std in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=f"std is {std}"):
            NeighbourAttention(std)
    with pytest.raises(ConfigError, match=r"maskclip has none.*--model\.decoder\.sfr"):
        LastBlock("maskclip", sfr=SemanticFeedback())
