import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from sclip_lightning.data.reading.transforms import MEAN, STD
from sclip_lightning.demo import train, train_clip, train_features, train_loftup
from sclip_lightning.demo.captions import SYNONYMS
from sclip_lightning.demo.scenes import Region, Scene, draw_scene
from sclip_lightning.towers import load_features
from sclip_lightning.towers.checkpoints import load_clip
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup


@pytest.mark.slow
def test_training_is_seeded_learns_and_saves_what_the_loaders_read(tmp_path, monkeypatch):
    monkeypatch.setattr(train_clip, "BATCH", 8)
    monkeypatch.setattr(train_loftup, "BATCH", 2)
    scenes = [draw_scene("train", index) for index in range(6)]
    first, second = (train_clip.train_clip(scenes, 3, seed=1) for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    loftup = train_loftup.train_loftup(first.visual, scenes, 2)

    train.save_networks(first, loftup, tmp_path)
    clip = load_clip(f"local-dir:{tmp_path}", "demo")
    assert torch.equal(clip.model.visual.proj, first.visual.proj.half().float())
    assert clip.model.visual.conv1.weight.shape == (128, 3, 8, 8)
    table = load_file(tmp_path / "open_clip_model.safetensors")["token_embedding.weight"]
    used = clip.tokenizer(["grass", "zebra"])
    assert table[used[0, 1]].any() or table[used[0, 2]].any()
    assert not table[used[1, 1]].any()  # no caption has a zebra
    read = load_loftup(tmp_path / "loftup.safetensors", dim=128)
    torch.testing.assert_close(
        read.state_dict()["upsampler.final_conv.0.weight"],
        loftup.state_dict()["upsampler.final_conv.0.weight"].half().float(),
    )


def test_views_show_what_their_captions_say():
    rng = np.random.default_rng(0)
    scene = draw_scene("train", 0)
    views = [train_clip.cut_view(rng, scene) for _ in range(30)]
    assert all(view.image.shape == (64, 64, 3) for view in views)
    names = {name for region in scene.regions for name in SYNONYMS.get(region.name, (region.name,))}
    assert all(any(name in view.caption for name in names) for view in views)
    whole = (slice(0, scene.layout.shape[0]), slice(0, scene.layout.shape[1]))
    assert set(train_clip.visible(scene, whole)) <= set(scene.regions)
    absent = train_clip.visible(scene, (slice(0, 4), slice(0, 4)))
    assert {region.name for region in absent} <= {scene.regions[i].name for i in np.unique(scene.layout[:4, :4])}


def test_the_mask_hides_patches_from_the_class_token_until_the_last_block():
    torch.manual_seed(0)
    import open_clip

    vision = open_clip.CLIPVisionCfg(**train_clip.CONFIG["vision_cfg"])
    text = open_clip.CLIPTextCfg(**train_clip.CONFIG["text_cfg"])
    model = open_clip.CLIP(128, vision, text, quick_gelu=True).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(train_clip.encode_image(model.visual, images, False), model.encode_image(images))
        assert not torch.allclose(train_clip.encode_image(model.visual, images, True), model.encode_image(images))
        # Without values in the last block the masked embedding cannot depend on the image.
        last = model.visual.transformer.resblocks[-1].attn
        last.in_proj_weight[256:] = 0
        masked = train_clip.encode_image(model.visual, images, True)
    torch.testing.assert_close(masked[0], masked[1])


@pytest.mark.slow
def test_the_second_network_is_seeded_learns_and_is_read_by_its_loader(tmp_path, monkeypatch):
    monkeypatch.setattr(train_features, "BATCH", 2)
    scenes = [draw_scene("train", index) for index in range(2)]
    short, again, longer = (train_features.train_features(scenes, steps, seed=1) for steps in (2, 2, 12))
    for name, value in short.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    ((first, second),) = train_features.view_pairs(scenes, 1, seed=2)
    losses = []
    for network in (short, longer):
        torch.manual_seed(0)  # the same places
        losses.append(train_features.contrast(network, first, second).item())
    assert losses[1] < losses[0] - 0.2

    train.save_features(short, tmp_path)
    tower = load_features(f"local-dir:{tmp_path}", "demo")
    halved = short.half().float()
    clip_mean, clip_std, mean, std = (
        torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD, *train_features.COLOURS)
    )
    windows = ((first.images * std + mean) * 255 - clip_mean) / clip_std
    with torch.no_grad():
        expected = halved.forward_features(first.images)[:, 1:].unflatten(1, (16, 16))
        torch.testing.assert_close(tower.features(windows), expected, atol=1e-4, rtol=0)


def test_places_of_one_view_are_found_in_the_other(monkeypatch):
    """In a picture that says in red and green where each pixel lies."""
    monkeypatch.setattr(train_features, "LIGHT", (1.0, 1.0))
    monkeypatch.setattr(train_features, "BALANCE", (1.0, 1.0))
    rows, columns = np.mgrid[:192, :240]
    image = np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8)
    scene = Scene(image, (Region("sky"),), np.zeros((192, 240), np.uint8), np.zeros((192, 240), np.uint8))
    ((first, second),) = train_features.view_pairs([scene], 1, seed=0)
    assert first.boxes[:, 3].any() and second.boxes[:, 3].any() and not first.boxes[:, 3].all()
    places, shown = train_features.matching(first.boxes, second.boxes)
    assert 0.2 < shown.float().mean() < 0.95
    here = F.avg_pool2d(first.images, 4)[:, :2]  # a patch's middle is its mean
    there = F.grid_sample(second.images, places, align_corners=False, padding_mode="border")[:, :2]
    pixel = 1 / 255 / 0.225
    difference = (here - there).abs().amax(1)
    assert difference[shown].max() < 2 * pixel
    assert difference[~shown].max() > 10 * pixel
