import copy
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sclip_lightning.upsampling.networks.loftup import LoftUpNetwork
from sclip_lightning.upsampling.networks.winograd import Conv3x3
from tests.golden import Recording
from tests.upsampling.recipe import recorded_loftup

GOLDEN = Recording("loftup")


@cache
def recorded_network(size):
    return recorded_loftup(GOLDEN.json("cfg")[size])


def upsampled(name, query_chunk=100_000, channelnorm=True):
    """What the case's network makes of its input, [B, C, H, W]."""
    network = recorded_network("real" if name in GOLDEN.json("cfg")["real_cases"] else "small")
    if not channelnorm:
        network = copy.deepcopy(network)
        network.channelnorm = nn.Identity()
    return network(GOLDEN.tensor(f"case/{name}/lr"), GOLDEN.tensor(f"case/{name}/img"), query_chunk)


@pytest.fixture
def window():
    """Features [3, 64, 6, 5] and guidance [3, 3, 48, 40]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 64, 6, 5, generator=generator), torch.rand(3, 3, 48, 40, generator=generator)


def worst(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize("query_chunk", [100_000, 100])
@GOLDEN.each("case/{name}/out")
def test_golden(name, query_chunk):
    key = f"case/{name}/out"
    if len(GOLDEN[key]) > 1:  # the recorded scaling of colours spans the batch, ours is per image
        key = f"case/{name}/out_single"
    bare = name.startswith("bare")
    assert worst(upsampled(name, query_chunk, channelnorm=not bare), GOLDEN.tensor(key)) < 1e-4
    if bare and f"case/{name}/out_full_eval_mode" in GOLDEN:  # the same input with the ChannelNorm
        assert worst(upsampled(name, query_chunk), GOLDEN.tensor(f"case/{name}/out_full_eval_mode")) < 1e-4


@pytest.mark.slow
@GOLDEN.each("case/{name}/out_sub")
def test_large_goldens(name):
    out = upsampled(name).flatten(2)[..., GOLDEN.tensor(f"case/{name}/out_idx").long()]
    assert worst(out, GOLDEN.tensor(f"case/{name}/out_sub")) < 1e-4


@GOLDEN.each("real_key_shapes")
def test_published_names_and_shapes():
    state = LoftUpNetwork(GOLDEN.json("cfg")["real"]["dim"]).state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == GOLDEN.json("real_key_shapes")


def test_bands_cover_the_map_in_order(network, window):
    features, guidance = window
    bands = list(network.bands(features, guidance, 10))
    assert [band.shape[1] // 40 for band in bands] == [10, 10, 10, 10, 8]
    whole = network(features, guidance).flatten(2).transpose(1, 2)
    # Matrix products of other shapes round otherwise, by how much depends on the processor; bands in another order, or
    # of other rows, are off by as much as the values are large.
    torch.testing.assert_close(torch.cat(bands, 1), whole, atol=1e-3, rtol=0)


def test_always_in_eval_mode(network, window):
    expected, statistics = network(*window), network.upsampler.first_conv[2].running_mean.clone()
    nn.Sequential(network).train()
    assert not any(module.training for module in network.modules())
    torch.testing.assert_close(network(*window), expected)
    torch.testing.assert_close(network.upsampler.first_conv[2].running_mean, statistics)


def test_an_image_does_not_depend_on_its_batch(network, window):
    features, guidance = window
    guidance = guidance * torch.tensor([1.0, 0.1, 10.0]).view(3, 1, 1, 1)
    singles = torch.cat([network(features[i : i + 1], guidance[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(features, guidance), singles, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_brightness_and_contrast_of_the_guidance_do_not_matter(network, window):
    features, guidance = window
    # Powers of two, so that the min-max scaling undoes them without rounding.
    assert worst(network(features, guidance * 4), network(features, guidance)) < 1e-4
    gray = torch.full_like(guidance, 0.25)
    assert worst(network(features, gray), network(features, gray * 2)) < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (3, 7), (14, 14)])
def test_any_guidance_size(network, window, size):
    features, guidance = window
    out = network(features, guidance[..., : size[0], : size[1]])
    assert out.shape == (3, 64, *size)
    assert out.isfinite().all()


def test_fourier_features_stay_fp32_under_autocast(network, window):
    expected = network(*window)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(*window)
    # bf16 phases would give a mean difference of 0.4.
    assert (mixed - expected).abs().mean() < 0.03


@pytest.mark.parametrize("size", [(4, 4), (28, 28), (7, 33), (1, 2)])
def test_winograd_is_the_plain_convolution(size):
    torch.manual_seed(0)
    convolution, x = Conv3x3(20, 30), torch.randn(2, 20, *size)
    plain = F.conv2d(x.double(), convolution.weight.double(), convolution.bias.double(), padding=1)
    assert worst(convolution(x), plain) < 3e-5
