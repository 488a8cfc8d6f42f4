import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sclip_lightning.demo import train, train_clip, train_loftup
from sclip_lightning.demo.captions import SYNONYMS
from sclip_lightning.demo.scenes import draw_scene
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
