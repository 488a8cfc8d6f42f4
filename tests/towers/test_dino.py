"""The second network: what it computes."""

import pytest
import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from timm.models.vision_transformer import VisionTransformer

from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.towers import FeatureTower, load_features
from sclip_lightning.towers.clip import resize_position_embedding
from tests.tiny_dino import MICRO, MICRO_WITH_REGISTERS, vit_micro_patch8_64_dino


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return load_features(MICRO, None)


def windows(height, width, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def imagenet(pixels):
    """From CLIP's normalisation to ImageNet's, in float64."""
    clip_mean, clip_std, mean, std = (
        torch.tensor(numbers).double()[:, None, None]
        for numbers in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    return ((pixels.double() * clip_std + clip_mean - mean) / std).float()


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 48), (80, 104), (8, 16), (61, 79)])
def test_positions_follow_dinos_rule(tower, height, width):
    """As timm's network has it that is made for windows of this size, with positions resized."""
    grid, network = (height // 8, width // 8), tower.network
    sized = VisionTransformer((grid[0] * 8, grid[1] * 8), 8, embed_dim=16, depth=2, num_heads=2, num_classes=0).eval()
    state = network.state_dict()
    state["pos_embed"] = resize_position_embedding(network.pos_embed[0], (8, 8), grid)[None]
    sized.load_state_dict(state)
    pixels = windows(height, width)
    seen = imagenet(pixels)[..., : grid[0] * 8, : grid[1] * 8]
    expected = sized.forward_features(seen)[:, 1:].unflatten(1, grid)
    torch.testing.assert_close(tower.features(pixels), expected, atol=1e-5, rtol=0)
    by_itself = network.forward_features(seen)[:, 1:].unflatten(1, grid)
    assert grid == (8, 8) or (expected - by_itself).abs().max() > 0.01  # timm resizes otherwise


def mixed_values(tower, pixels, monkeypatch):
    """What the last block's attention is given as values, heads joined, without what comes before the patches."""
    given = []

    def attend(q, k, v, **options):
        given.append(v)
        return attention(q, k, v, **options)

    attention = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    tower.features(pixels)
    return given[-1].transpose(1, 2).flatten(2)[:, tower.network.num_prefix_tokens :]


@torch.no_grad()
@pytest.mark.parametrize("name", [MICRO, MICRO_WITH_REGISTERS, "vit_tiny_patch16_dinov3_qkvb"])
def test_values_are_those_that_the_last_attention_mixes(name, monkeypatch):
    torch.manual_seed(0)
    tower = load_features(name, None)
    for parameter in tower.network.parameters():  # biases are drawn as zeros, and must not be left out
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter)
    rows, columns = 3, 5
    pixels = windows(rows * tower.patch_size[0], columns * tower.patch_size[1])
    found = tower.values(pixels)
    expected = mixed_values(tower, pixels, monkeypatch)
    assert found.shape[:3] == (2, rows, columns)
    torch.testing.assert_close(found.flatten(1, 2), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(61, 79), (64, 33), (5, 9)])
def test_values_of_windows_that_are_no_whole_patches(tower, height, width):
    """Black below and on the right, before the colours are normalised."""
    mean, std = torch.tensor([OPENAI_CLIP_MEAN, OPENAI_CLIP_STD])[..., None, None]
    pixels = windows(height, width)
    colours = F.pad(pixels * std + mean, (0, -width % 8, 0, -height % 8))
    torch.testing.assert_close(tower.values(pixels), tower.values((colours - mean) / std), atol=1e-5, rtol=0)
    assert tower.values(pixels).shape[1:3] == (-(-height // 8), -(-width // 8))


@torch.no_grad()
def test_a_window_alone_gives_what_it_gives_among_others(tower):
    pixels = windows(48, 64, 3)
    for network in (tower.features, tower.values):
        torch.testing.assert_close(network(pixels)[1:2], network(pixels[1:2]), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("name", "prefix", "patch"), [(MICRO, 1, 8), (MICRO_WITH_REGISTERS, 3, 14)])
def test_the_last_block_in_two_steps_is_timms(name, prefix, patch):
    torch.manual_seed(0)
    tower, pixels, given = load_features(name, None), windows(3 * patch, 6 * patch), []
    last = tower.network.blocks[-1]
    handle = last.register_forward_hook(lambda _, inputs, __: given.append(inputs[0][:, prefix:]))
    tower.features(pixels)
    handle.remove()
    projected = last.attn.qkv(last.norm1(given[0]))
    inputs = tower.last_block_inputs(pixels)
    expected = torch.cat([tower.network.norm(given[0]), projected], dim=-1).unflatten(1, (3, 6))
    torch.testing.assert_close(inputs, expected, atol=1e-5, rtol=0)
    found = tower.finish_last_block(torch.cat([given[0], projected], dim=-1)[0])
    torch.testing.assert_close(found, last(given[0])[0], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "prefix", "patch"), [(MICRO_WITH_REGISTERS, 3, 14), ("vit_tiny_patch16_dinov3_qkvb", 5, 16)]
)
def test_registers_are_left_out_and_positions_are_timms(name, prefix, patch):
    tower, pixels = load_features(name, None), windows(3 * patch, 6 * patch)
    found, whole = tower.features(pixels), tower.network.forward_features(imagenet(pixels))
    assert whole.shape[1] == prefix + 18
    assert tower.patch_size == (patch, patch)
    torch.testing.assert_close(found, whole[:, prefix:].unflatten(1, (3, 6)), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("name", "prefix", "patch"), [(MICRO, 1, 8), (MICRO_WITH_REGISTERS, 3, 14)])
def test_queries_plus_keys_of_the_last_block(name, prefix, patch):
    """Those that the whole network passes on the way to its features, without what comes after them."""
    torch.manual_seed(0)
    tower, pixels, seen = load_features(name, None), windows(3 * patch + 5, 6 * patch), []
    last = tower.network.blocks[-1]
    handles = [last.attn.qkv.register_forward_hook(lambda *given: seen.append(given[2]))]
    tower.features(pixels)
    handles.append(last.mlp.register_forward_hook(lambda *_: pytest.fail("computed for nothing")))
    found = tower.query_key_sums(pixels)
    for handle in handles:
        handle.remove()
    q, k, _ = seen[0][:, prefix:].unflatten(1, (3, 6)).chunk(3, dim=-1)
    torch.testing.assert_close(found, q + k, atol=1e-5, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert tower.query_key_sums(pixels).dtype == torch.float32


def test_which_networks_compare_queries_and_keys_as_they_are(tower):
    assert tower.compares_as_they_are
    assert load_features(MICRO_WITH_REGISTERS, None).compares_as_they_are
    assert not load_features("vit_tiny_patch16_dinov3_qkvb", None).compares_as_they_are
    normed = vit_micro_patch8_64_dino(num_classes=0, qk_norm=True)
    assert not FeatureTower(normed, "normed", "none").compares_as_they_are


@torch.no_grad()
def test_under_autocast_blocks_are_lower_and_colours_are_not(tower):
    pixels = windows(64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        low = tower.features(pixels)
        assert torch.equal(tower._renormalised(pixels), tower._renormalised(pixels.double()))
    exact = tower.features(pixels)
    assert 0 < (low.float() - exact).abs().max() < 0.2


def test_windows_of_whole_patches_are_asked_for(tower):
    tower.check_window(64)
    tower.check_window(100, padding=56)
    tower.check_window(0)
    with pytest.raises(ConfigError, match=r"100 x 100 pixels .* Set --model.crop to a multiple of 8, such as 96,"):
        tower.check_window(100)
    fourteen = load_features(MICRO_WITH_REGISTERS, None)
    with pytest.raises(ConfigError, match=r"Windows of 104 x 104 .* a multiple of 56, such as 56,"):
        fourteen.check_window(100, padding=8)
    with pytest.raises(DataError, match=r"A window of 13 x 64 pixels is smaller than one patch .* 14 x 14"):
        fourteen.features(windows(13, 64))


def test_it_moves_as_a_whole():
    moved = load_features(MICRO, None).to("meta")
    assert {value.device.type for value in [*moved.parameters(), *moved.buffers()]} == {"meta"}
    assert "_constants" not in moved.state_dict()  # a checksum is that of the weights
