import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import VisionTransformer
from torch import nn

from sclip_lightning.decoding.attention import attend, gaussian_window
from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers.clip import VisionTower, resize_position_embedding

TOLERANCE = 1e-4  # of the recordings, see their README


def test_vanilla_tokens_match_the_recording(sclip_golden):
    model, golden = sclip_golden
    tokens = VisionTower(model.visual, "vanilla")(torch.from_numpy(golden["image"])[..., :224, :224])
    torch.testing.assert_close(tokens, torch.from_numpy(golden["crop/vanilla_tokens"]), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("height", "width", "key"), [(224, 224, "crop/csa_tokens"), (192, 272, "rect/csa_tokens")])
def test_sclip_tokens_match_the_recording(sclip_golden, height, width, key):
    model, golden = sclip_golden
    tokens = VisionTower(model.visual, "sclip")(torch.from_numpy(golden["image"])[..., :height, :width])
    torch.testing.assert_close(tokens, torch.from_numpy(golden[key]), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("attention", "residual", "key"),
    [
        ("vanilla", True, "vanilla_w_resi"),
        ("vanilla", False, "vanilla_wo_resi"),
        ("sclip", None, "sclip_w_resi"),
        ("clearclip", None, "clearclip_wo_resi"),
        ("naclip", None, "naclip_wo_resi"),
        ("naclip", True, "naclip_w_resi"),
    ],
)
def test_variants_match_the_recordings(resclip_golden, resclip_image, attention, residual, key):
    model, golden = resclip_golden
    crop = resclip_image[..., 56:280, 112:336]
    features = VisionTower(model.visual, attention, residual)(crop)[0]
    torch.testing.assert_close(features, torch.from_numpy(golden[f"crop/{key}/base/features"]), atol=5e-5, rtol=0)


def test_maskclip_is_the_value_path(sclip_golden):
    model, golden = sclip_golden
    image = torch.from_numpy(golden["image"])[..., :64, :96]
    tower = VisionTower(model.visual, "maskclip")
    block = model.visual.transformer.resblocks[-1]
    x = tower.trunk(image).x
    width = x.shape[-1]
    weight, bias = block.attn.in_proj_weight[2 * width :], block.attn.in_proj_bias[2 * width :]
    value_path = block.attn.out_proj(F.linear(block.ln_1(x), weight, bias))
    torch.testing.assert_close(tower(image), model.visual.ln_post(value_path) @ model.visual.proj)


def test_vanilla_class_token_is_clips_image_embedding(sclip_golden):
    model, _ = sclip_golden
    images = torch.randn(3, 3, 224, 224)
    torch.testing.assert_close(VisionTower(model.visual, "vanilla")(images)[:, 0], model.visual(images))


@pytest.mark.parametrize("attention", ["vanilla", "sclip", "clearclip", "naclip"])
def test_attention_equals_its_formula(attention):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 2, 13, 8)
    window = gaussian_window(3, 4, std=2.0) if attention == "naclip" else None
    scale = 8**-0.5
    qq, kk, qk = (scale * a @ b.transpose(-1, -2) for a, b in ((q, q), (k, k), (q, k)))
    maps = {
        "vanilla": qk.softmax(-1),
        "sclip": qq.softmax(-1) + kk.softmax(-1),
        "clearclip": qq.softmax(-1),
        "naclip": (kk + (0 if window is None else window)).softmax(-1),
    }
    torch.testing.assert_close(attend(attention, q, k, v, window), maps[attention] @ v)


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


def test_position_embedding_is_untouched_on_the_trained_grid():
    embedding = torch.randn(1 + 14 * 14, 8)
    assert resize_position_embedding(embedding, (14, 14), (14, 14)) is embedding


@pytest.mark.parametrize("grid", [(21, 28), (10, 14), (1, 1), (35, 70)])
def test_position_embedding_keeps_the_class_token(grid):
    embedding = torch.randn(1 + 14 * 14, 8)
    resized = resize_position_embedding(embedding, (14, 14), grid)
    assert resized.shape == (1 + grid[0] * grid[1], 8)
    assert (resized[0] == embedding[0]).all()


def test_position_embedding_matches_the_recordings(resclip_golden):
    model, golden = resclip_golden
    keys = [key for key in golden if key.startswith("unit/pos_embed/")]
    assert keys
    for key in keys:
        rows, columns = map(int, key.rsplit("/", 1)[1].split("x"))
        resized = resize_position_embedding(model.visual.positional_embedding, (14, 14), (rows, columns))
        torch.testing.assert_close(resized[:, ::16], torch.from_numpy(golden[key]).squeeze(0), atol=1e-6, rtol=0)


def test_remainder_of_a_patch_is_dropped(sclip_golden):
    model, golden = sclip_golden
    tower = VisionTower(model.visual)
    image = torch.from_numpy(golden["image"])
    assert tower.grid_size(70, 95) == (4, 5)
    torch.testing.assert_close(tower(image[..., :70, :95]), tower(image[..., :64, :80]))


def test_residual_stream_keeps_float32_under_autocast(sclip_golden):
    model, golden = sclip_golden
    image = torch.from_numpy(golden["image"])[..., :224, :224]
    tower = VisionTower(model.visual)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert tower.trunk(image).x.dtype == torch.float32
        mixed = tower(image)
    assert mixed.dtype == torch.bfloat16
    similarity = F.cosine_similarity(mixed.float(), tower(image), dim=-1)
    assert similarity.min() > 0.99


def test_towers_of_another_kind_are_refused():
    pooling = VisionTransformer(64, 16, 32, 1, 2, 4.0, attentional_pool=True, attn_pooler_heads=2, output_dim=16)
    with pytest.raises(CheckpointError, match="attentional pooling"):
        VisionTower(pooling)
    with pytest.raises(CheckpointError, match="plain CLIP ViT"):
        VisionTower(nn.Linear(2, 2))
