import numpy as np
import pytest

from sclip_lightning.demo.captions import SYNONYMS, TEMPLATES, write_caption
from sclip_lightning.demo.drawings import COLOURS, DRAWINGS
from sclip_lightning.demo.scenes import CLASSES, HELD_OUT, Region, draw_scene
from sclip_lightning.demo.textures import TEXTURES


def test_a_scene_is_always_the_same():
    first, second = draw_scene("val", 3), draw_scene("val", 3)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.regions == second.regions
    assert not np.array_equal(first.image[:100, :100], draw_scene("test", 3).image[:100, :100])
    assert not np.array_equal(first.image[:100, :100], draw_scene("val", 4).image[:100, :100])


@pytest.mark.slow
def test_labels_follow_the_layout_except_along_contours():
    for index in range(8):
        scene = draw_scene("val", index)
        assert scene.image.shape == (*scene.labels.shape, 3)
        assert scene.image.dtype == scene.labels.dtype == np.uint8
        expected = np.array([CLASSES.index(region.name) for region in scene.regions])[scene.layout]
        void = scene.labels == 255
        np.testing.assert_array_equal(scene.labels[~void], expected[~void])
        # Void is exactly where the eight neighbours are not all of one class.
        padded = np.pad(expected, 1, mode="edge")
        around = np.stack([padded[y : y + void.shape[0], x : x + void.shape[1]] for y in range(3) for x in range(3)])
        np.testing.assert_array_equal(void, around.min(0) != around.max(0))


@pytest.mark.slow
def test_every_class_occurs_and_held_out_combinations_only_outside_training(monkeypatch):
    monkeypatch.setattr("sclip_lightning.demo.scenes.SIZES", ((48, 64), (64, 48)))  # what they show is the point
    train = [region for index in range(25) for region in draw_scene("train", index).regions]
    val = [region for index in range(25) for region in draw_scene("val", index).regions]
    assert {region.name for region in train} == set(CLASSES)
    held_out = {region for region in val if (region.name, region.colour) in HELD_OUT}
    assert held_out
    assert not held_out & set(train)
    assert len(HELD_OUT) == len(DRAWINGS)


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_are_pictures(name):
    picture = TEXTURES[name](np.random.default_rng(0), 80, 120)
    assert picture.shape == (80, 120, 3)
    assert picture.dtype == np.float32
    assert picture.std() > 0.02
    assert picture.min() > -0.5
    assert picture.max() < 1.6


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_fit_their_frame_and_show_their_colour(name):
    for colour in COLOURS.values():
        parts = DRAWINGS[name](colour)
        points = np.concatenate([part.points for part in parts])
        assert np.abs(points).max() <= 1.15
    red, blue = (DRAWINGS[name](COLOURS[colour]) for colour in ("red", "blue"))
    assert any(a.colour != b.colour for a, b in zip(red, blue, strict=True))


def test_captions_name_what_is_there():
    rng = np.random.default_rng(0)
    regions = [Region("grass"), Region("sky"), Region("fish", "red"), Region("house", "blue")]
    captions = [write_caption(rng, regions) for _ in range(200)]
    assert all("fish" in caption for caption in captions)
    assert all("house" in caption or "building" in caption for caption in captions)
    assert any("red fish" in caption for caption in captions)
    assert any("grass" in caption or "lawn" in caption for caption in captions)
    assert not all("grass" in caption or "lawn" in caption for caption in captions)
    textures = [write_caption(rng, regions[:2]) for _ in range(50)]
    names = [set(SYNONYMS[name]) for name in ("grass", "sky")]
    assert all(any(name in caption for name in alternatives) for caption in textures for alternatives in names)
    for template in TEMPLATES:
        assert any(caption.startswith(template.removesuffix("{}")) for caption in captions)
