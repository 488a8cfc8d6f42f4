import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.upsampling.loftup import affinity_logits, direct_logits


@pytest.fixture
def logits():
    return torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def one_hot():
    """One class per patch: the output is the weights themselves."""
    return torch.eye(30).unflatten(1, (6, 5)).expand(3, -1, -1, -1)


def same_queries_everywhere(network):
    """Blind the network to the guidance and to the position: every query is 0."""
    network.upsampler.first_conv[5].weight.zero_()
    network.upsampler.first_conv[5].bias.zero_()
    return network


def box_mean(logits, radius):
    return F.avg_pool2d(logits, 2 * radius + 1, 1, radius, count_include_pad=False)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 2, 3, 16])
@pytest.mark.parametrize("radius", [None, 0, 2])
def test_affinity_rows_are_convex(network, window, one_hot, scale, radius):
    weights = affinity_logits(network, *window, one_hot, scale=scale, temperature=10, radius=radius)
    assert weights.shape == (3, 30, 6 * scale, 5 * scale)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(3, 6 * scale, 5 * scale))


def test_affinity_is_what_it_says(network, window, logits):
    features, guidance = window
    small = F.interpolate(guidance, (12, 10), mode="bilinear", antialias=True)
    y = network(features, small)
    k = F.normalize(F.avg_pool2d(y, 2).flatten(2), dim=1)
    weights = (7 * F.normalize(y, dim=1).flatten(2).transpose(1, 2) @ k).softmax(-1)
    expected = (logits.flatten(2) @ weights.transpose(1, 2)).unflatten(2, (12, 10))
    out = affinity_logits(network, features, guidance, logits, temperature=7)
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("radius", [None, 1])
@pytest.mark.parametrize("query_chunk", [1, 60, 500])
def test_chunks_do_not_change_the_affinity(network, window, logits, radius, query_chunk):
    options = {"scale": 4, "temperature": 10, "radius": radius}
    whole = affinity_logits(network, *window, logits, **options, query_chunk=10_000)
    chunked = affinity_logits(network, *window, logits, **options, query_chunk=query_chunk)
    torch.testing.assert_close(chunked, whole, atol=1e-3, rtol=0)


def test_constant_logits_stay_constant(network, window):
    out = affinity_logits(network, *window, torch.full((3, 2, 6, 5), 0.3), temperature=50)
    torch.testing.assert_close(out, torch.full((3, 2, 12, 10), 0.3))


def test_constant_upsampled_features_give_the_plain_mean(network, window, logits):
    network = same_queries_everywhere(network)
    out = affinity_logits(network, *window, logits, temperature=50)
    torch.testing.assert_close(out, logits.mean((2, 3), keepdim=True).expand_as(out), atol=1e-4, rtol=0)
    near = affinity_logits(network, *window, logits, temperature=50, radius=1)
    expected = F.interpolate(box_mean(logits, 1), scale_factor=2)
    torch.testing.assert_close(near, expected, atol=1e-4, rtol=0)


def test_temperature_zero_gives_the_mean_of_the_neighbourhood(network, window, logits):
    everything = affinity_logits(network, *window, logits, temperature=0)
    torch.testing.assert_close(everything, logits.mean((2, 3), keepdim=True).expand_as(everything))
    near = affinity_logits(network, *window, logits, scale=3, temperature=0, radius=2)
    torch.testing.assert_close(near, F.interpolate(box_mean(logits, 2), scale_factor=3))


def test_radius_zero_repeats_the_patches(network, window, logits):
    out = affinity_logits(network, *window, logits, scale=4, temperature=10, radius=0)
    torch.testing.assert_close(out, F.interpolate(logits, scale_factor=4))


def test_high_temperature_at_the_patch_grid_gives_the_logits_back(network, window, logits):
    # At scale 1 a position is its own patch's mean: its cosine is 1, every other's is less.
    out = affinity_logits(network, *window, logits, scale=1, temperature=1e5)
    torch.testing.assert_close(out, logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", ["affinity", "direct"])
def test_autocast_stays_close(network, window, logits, mode):
    def run():
        if mode == "affinity":
            return affinity_logits(network, *window, logits, temperature=5)
        return direct_logits(network, *window, torch.eye(4, 64))

    expected = run()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = run()
    assert mixed.dtype == torch.float32
    assert (mixed - expected).abs().mean() < 0.02


@pytest.mark.parametrize("query_chunk", [1, 100_000])
def test_direct_is_the_cosine_with_the_channelnorm_undone(network, window, query_chunk):
    features, guidance = window
    text = torch.randn(7, 64, generator=torch.Generator().manual_seed(2))
    y = network(features, F.interpolate(guidance, (12, 10), mode="bilinear", antialias=True))
    norm = network.channelnorm.norm
    std = (features.var(1, correction=0, keepdim=True) + norm.eps).sqrt()
    std, mean = (F.interpolate(x, (12, 10), mode="bilinear") for x in (std, features.mean(1, keepdim=True)))
    restored = (y - norm.bias.view(-1, 1, 1)) / norm.weight.view(-1, 1, 1) * std + mean
    expected = F.cosine_similarity(restored.unsqueeze(1), text.view(1, 7, 64, 1, 1), dim=2)
    out = direct_logits(network, features, guidance, text, query_chunk=query_chunk)
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=0)


def test_direct_undoes_the_channelnorm_exactly(network, window):
    """An upsampler that returned the normed features would give the cosine of the features themselves."""
    features, guidance = window
    text = torch.randn(7, 64, generator=torch.Generator().manual_seed(2))
    network.bands = lambda x, image, rows: iter([network.channelnorm(x.permute(0, 2, 3, 1)).flatten(1, 2)])
    out = direct_logits(network, features, guidance, text, scale=1)
    expected = F.cosine_similarity(features.unsqueeze(1), text.view(1, 7, 64, 1, 1), dim=2)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)
