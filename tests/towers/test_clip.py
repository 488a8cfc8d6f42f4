import math

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import VisionTransformer
from torch import nn

from sclip_lightning.decoding import LastBlock, SemanticFeedback
from sclip_lightning.decoding.attention import NeighbourAttention, attention_of, gaussian_window
from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers.clip import ClipTower, resize_position_embedding
from sclip_lightning.windows import Texts
from sclip_lightning.windows.colours import padded_with_black
from tests.builders import build_tower, scene_of, tokens
from tests.recordings import RESCLIP, SCLIP, resclip, sclip

TOLERANCE = 1e-4  # of SCLIP's recording, see tests/goldens/README.md
#: SCLIP's recording calls its own attention by its paper's name, correlative self-attention.
RECORDED_AS = {"vanilla": "vanilla", "csa": "sclip"}


@SCLIP.each("crop/{attention}_tokens")
def test_tokens_of_a_window_match_the_recording(attention):
    recorded = sclip()
    window = recorded.image[..., : recorded.crop, : recorded.crop]
    found = tokens(build_tower(recorded.model, RECORDED_AS[attention]), window)
    torch.testing.assert_close(found, SCLIP.tensor(f"crop/{attention}_tokens"), atol=TOLERANCE, rtol=0)


@SCLIP.each("rect/{attention}_tokens")
def test_tokens_of_a_rectangle_match_the_recording(attention):
    """The file does not say the rectangle's sides: one of the grids with as many patches must match."""
    recorded, expected = sclip(), SCLIP.tensor(f"rect/{attention}_tokens")
    tower = build_tower(recorded.model, RECORDED_AS[attention])
    patches, (height, width) = expected.shape[1] - 1, tower.patch_size
    most_rows, most_columns = tower.grid_size(*recorded.image.shape[-2:])
    grids = [(n, patches // n) for n in range(1, most_rows + 1) if patches % n == 0 and patches // n <= most_columns]
    found = [tokens(tower, recorded.image[..., : rows * height, : columns * width]) for rows, columns in grids]
    nearest = min(found, key=lambda x: (x - expected).abs().max())
    torch.testing.assert_close(nearest, expected, atol=TOLERANCE, rtol=0)


def test_maskclip_is_the_value_path(example):
    image, visual = example.image[..., :64, :96], example.model.visual
    tower = build_tower(example.model, "maskclip")
    block = visual.transformer.resblocks[-1]
    x = tower.trunk(image).x
    width = x.shape[-1]
    weight, bias = block.attn.in_proj_weight[2 * width :], block.attn.in_proj_bias[2 * width :]
    value_path = block.attn.out_proj(F.linear(block.ln_1(x), weight, bias))
    torch.testing.assert_close(tokens(tower, image), visual.ln_post(value_path) @ visual.proj)


def test_vanilla_class_token_is_clips_image_embedding(example):
    images, tower = torch.randn(3, 3, 224, 224), build_tower(example.model, "vanilla")
    torch.testing.assert_close(tokens(tower, images)[:, 0], example.model.visual(images))


@pytest.mark.parametrize("attention", ["vanilla", "sclip", "clearclip", "naclip"])
def test_attention_equals_its_formula(attention):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 2, 13, 8)
    chosen = NeighbourAttention(2.0) if attention == "naclip" else attention_of(attention)
    scale = 8**-0.5
    qq, kk, qk = (scale * a @ b.transpose(-1, -2) for a, b in ((q, q), (k, k), (q, k)))
    maps = {
        "vanilla": qk.softmax(-1),
        "sclip": qq.softmax(-1) + kk.softmax(-1),
        "clearclip": qq.softmax(-1),
        "naclip": (kk + gaussian_window(3, 4, std=2.0)).softmax(-1),
    }
    torch.testing.assert_close(chosen(q, k, v, (3, 4)), maps[attention] @ v)


@pytest.mark.parametrize(("rows", "columns", "std"), [(14, 14, 5.0), (3, 5, 1.0)])
def test_gaussian_window_is_a_bump_per_patch(rows, columns, std):
    window = gaussian_window(rows, columns, std)
    assert window.shape == (1 + rows * columns,) * 2
    assert (window[0] == 0).all()
    assert (window[:, 0] == 0).all()
    for i in (0, columns + 1, rows * columns - 1):
        for j in (0, columns - 1, rows * columns - 2):
            distance = (i // columns - j // columns) ** 2 + (i % columns - j % columns) ** 2
            expected = torch.exp(torch.tensor(-distance / (2 * std**2)))
            torch.testing.assert_close(window[1 + i, 1 + j], expected)


@RESCLIP.each("unit/omega/{rows}x{columns}_std{std}")
def test_gaussian_window_matches_the_recordings(rows, columns, std):
    expected = RESCLIP.tensor(f"unit/omega/{rows}x{columns}_std{std}")
    torch.testing.assert_close(gaussian_window(int(rows), int(columns), float(std)), expected, atol=1e-6, rtol=0)


def test_position_embedding_is_untouched_on_the_trained_grid():
    embedding = torch.randn(1 + 14 * 14, 8)
    assert resize_position_embedding(embedding, (14, 14), (14, 14)) is embedding


@pytest.mark.parametrize("grid", [(21, 28), (10, 14), (1, 1), (35, 70)])
def test_position_embedding_keeps_the_class_token(grid):
    embedding = torch.randn(1 + 14 * 14, 8)
    resized = resize_position_embedding(embedding, (14, 14), grid)
    assert resized.shape == (1 + grid[0] * grid[1], 8)
    assert (resized[0] == embedding[0]).all()


@pytest.mark.parametrize("grid", [(7, 7), (10, 14), (35, 9)])
def test_exact_positions_go_by_the_size_alone(grid):
    embedding = torch.randn(1 + 14 * 14, 6, generator=torch.Generator().manual_seed(0))
    found = resize_position_embedding(embedding, (14, 14), grid, exact=True)
    expected = F.interpolate(embedding[1:].T.view(1, 6, 14, 14), grid, mode="bicubic")[0].flatten(1).T
    torch.testing.assert_close(found, torch.cat([embedding[:1], expected]))
    assert (found - resize_position_embedding(embedding, (14, 14), grid)).abs().max() > 0.01
    assert resize_position_embedding(embedding, (14, 14), (14, 14), exact=True) is embedding


@pytest.mark.slow
@RESCLIP.each("unit/pos_embed/{rows}x{columns}")
def test_position_embedding_matches_the_recordings(rows, columns):
    embedding = resclip().model.visual.positional_embedding
    side = math.isqrt(len(embedding) - 1)
    resized = resize_position_embedding(embedding, (side, side), (int(rows), int(columns)))
    expected = RESCLIP.tensor(f"unit/pos_embed/{rows}x{columns}").squeeze(0)
    step = resized.shape[-1] // expected.shape[-1]
    torch.testing.assert_close(resized[:, ::step], expected, atol=1e-6, rtol=0)


def test_remainder_of_a_patch_is_dropped(example):
    tower = build_tower(example.model)
    assert tower.grid_size(70, 95) == (4, 5)
    torch.testing.assert_close(tokens(tower, example.image[..., :70, :95]), tokens(tower, example.image[..., :64, :80]))


@torch.no_grad()
def test_padded_windows_are_filled_up_with_black_and_take_exact_positions(example):
    texts = Texts(example.queries, example.classes)
    tower = ClipTower(example.model.visual)
    windows = example.image[..., :40, :90]
    found = LastBlock("maskclip", residual=True, padded=True).decode(scene_of(windows, texts, {"clip": tower}), True)
    assert found.features.shape[:3] == found.values.shape[:3] == (1, 3, 6)
    trunk = tower.trunk(padded_with_black(windows, (16, 16)), exact_positions=True)
    _, _, v = tower.project(trunk.x, tower.depth)
    expected = tower.to_text_space(tower.finish(trunk.x, v, tower.depth))[:, 1:].unflatten(1, (3, 6))
    torch.testing.assert_close(found.features, expected, atol=1e-5, rtol=0)
    sfr = SemanticFeedback(tau=2.0, lam=0.5, threshold=0.1, logit_scale=40.0)
    decoders = [LastBlock(padded=padded, sfr=sfr) for padded in (False, True)]
    for crop in (windows, example.image[..., :224, :224]):
        dropped, padded = (one.decode(scene_of(crop, texts, {"clip": tower})).features for one in decoders)
        assert (crop is windows) == (dropped.shape != padded.shape)
        assert dropped.shape != padded.shape or torch.equal(dropped, padded)  # 14 x 14 patches are as trained


def test_residual_stream_keeps_float32_under_autocast(example):
    image = example.image[..., :224, :224]
    tower = build_tower(example.model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert tower.trunk(image).x.dtype == torch.float32
        mixed = tokens(tower, image)
    assert mixed.dtype == torch.bfloat16
    similarity = F.cosine_similarity(mixed.float(), tokens(tower, image), dim=-1)
    assert similarity.min() > 0.99


def test_towers_of_another_kind_are_refused():
    pooling = VisionTransformer(64, 16, 32, 1, 2, 4.0, attentional_pool=True, attn_pooler_heads=2, output_dim=16)
    with pytest.raises(CheckpointError, match="attentional pooling"):
        ClipTower(pooling)
    with pytest.raises(CheckpointError, match="plain CLIP ViT"):
        ClipTower(nn.Linear(2, 2))
