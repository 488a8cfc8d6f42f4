"""``sclip predict`` with segment maps, and the same in Python."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning import Segmentor
from sclip_lightning.cli import main
from sclip_lightning.decoding import LastBlock, ResidualAttention
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.refine import DenseCRF, RegionVote
from sclip_lightning.refine.region_vote import region_vote
from sclip_lightning.upsampling import LoftUp
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from tests.fake_data import draw_labels, write_image
from tests.stored_images import png

CLASSES = "cat, sky, grass"
VOTE = "--model.refiners+=RegionVote"
SIZES = {"one": (48, 64), "more/one": (50, 60)}


def drawn(size, number):
    """A map of six pieces."""
    rows, columns = np.indices(size)
    return rows * 2 // size[0] * 3 + columns * 3 // size[1] + number


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Images of one name in a folder and its subfolder, one of them turned by EXIF, with their maps."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for number, (name, size) in enumerate(SIZES.items()):
        path = tmp_path / f"photos/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        rgb = np.random.default_rng(number).integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(rgb).rotate(90 * number, expand=True).save(path, exif=turned if number else None)
        (tmp_path / f"maps/{name}").parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(tmp_path / f"maps/{name}.npz", instance_mask=drawn(size, number))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small(tiny_clip):
    return {"architecture": tiny_clip, "templates": "none", "crop": 48, "stride": 32}


@pytest.fixture
def predict(folder, small):
    options = [f"--model.{name}={value}" for name, value in small.items()]
    fixed = ["--images=photos", "--recursive", f"--classes={CLASSES}", "--short_side=64", "--device=cpu"]
    fixed.append("--precision=32-true")  # as in Python
    return lambda *more: main(["predict", *fixed, *options, *more])


@pytest.fixture
def load(small):
    return lambda **parts: Segmentor.from_pretrained(**small, short_side=64, device="cpu", **parts)


def voted(labels, regions, unassigned="smallest"):
    labels = torch.from_numpy(labels).long()
    return region_vote(labels, torch.from_numpy(regions), 4, unassigned).numpy()


def labels_of(name):
    return np.array(Image.open(f"predictions/labels/{name}.png"))


@pytest.mark.slow
def test_labels_are_voted_on(predict, load, capsys):
    predict(VOTE, "--regions=maps")
    plain = load()
    for number, (name, size) in enumerate(SIZES.items()):
        expected = plain.predict(f"photos/{name}.png", CLASSES).labels
        assert expected.shape == size
        assert not np.array_equal(labels_of(name), expected)
        np.testing.assert_array_equal(labels_of(name), voted(expected, drawn(size, number)))
    settings = json.loads(Path("predictions/settings.json").read_text())
    assert (settings["regions"], settings["steps"]) == ("segment maps as stored", "RegionVote (unassigned smallest)")
    assert "Note" not in capsys.readouterr().err

    # A map that has changed is a reason to do its image again, and no other; a copy of the folder is none.
    kept, changed = Path("predictions/labels/one.png").stat(), drawn(SIZES["more/one"], 0) // 2
    times = Path("maps/one.npz").stat()
    Path("maps").rename("moved")
    np.savez_compressed("moved/more/one.npz", instance_mask=changed)
    os.utime("moved/one.npz", ns=(times.st_atime_ns, times.st_mtime_ns))
    predict(VOTE, "--regions=moved")
    assert Path("predictions/labels/one.png").stat().st_mtime_ns == kept.st_mtime_ns
    np.testing.assert_array_equal(
        labels_of("more/one"), voted(plain.predict("photos/more/one.png", CLASSES).labels, changed)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([VOTE], "RegionVote needs a segment map with each image, and --regions is not given"),
        ([VOTE, "--regions=absent"], "--regions absent is not there"),
        ([VOTE, "--regions=flat"], "one and more/one would both get the segment map flat/one.npz (--regions)"),
        ([VOTE, "--regions=bad"], "bad/more/one.npz has 60 x 50 pixels (height x width), its image 50 x 60"),
        ([VOTE, "--regions=bad"], "--on_error skip"),
        ([VOTE, "--regions=maps", "--panoptic_regions", "--images=lone"], "no segment map of lone"),
    ],
)
def test_what_is_wrong_is_found_before_weights_are_loaded(predict, folder, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr("sclip_lightning.segmentor.load_clip", lambda *_: pytest.fail("loaded weights"))
    for place in ("flat/one", "bad/one", "bad/more/one"):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        size = SIZES["more/one"][::-1] if "more" in place else SIZES["one"]
        np.savez_compressed(f"{place}.npz", instance_mask=drawn(size, 0))
    Path("lone").mkdir()
    write_image(Path("lone/lone.png"), draw_labels((48, 64), 21, seed=0))
    with pytest.raises(SystemExit):
        predict(*arguments)
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_bad_maps_may_be_skipped_and_unread_ones_are_named(predict, folder, capsys):
    Path("maps/more/one.npz").write_bytes(b"nothing")
    with pytest.raises(SystemExit):
        predict(VOTE, "--regions=maps", "--on_error=skip")
    assert "maps/more/one.npz cannot be read as an npz file" in capsys.readouterr().err
    assert [path.name for path in Path("predictions/labels").rglob("*.png")] == ["one.png"]
    predict("--regions=maps", "--output_dir=others")
    assert "Note: Segment maps are given (--regions), but no part reads them" in capsys.readouterr().err
    assert "regions" not in json.loads(Path("others/settings.json").read_text())


def combined(tmp_path):
    """Methods and parts by name, each with its own numbers."""
    torch.manual_seed(0)
    torch.save(load_loftup(None, dim=16).state_dict(), tmp_path / "loftup.bin")
    resclip = LastBlock("sclip", rcs=ResidualAttention(first_layer=2, last_layer=4), sfr=True)
    loftup = LoftUp(str(tmp_path / "loftup.bin"))
    return {
        "SCLIP": {},
        "ResCLIP": {"decoder": resclip},
        "LoftUp": {"upsampler": loftup},
        "DenseCRF": {"refiners": [DenseCRF(2)]},
        "all": {"decoder": resclip, "upsampler": loftup, "refiners": [DenseCRF(2)]},
    }


@pytest.mark.slow
def test_the_vote_is_the_last_step_of_any_method(load, tmp_path):
    """After the threshold, too: a segment most of which falls below it becomes background as a whole."""
    became_background = 0
    image = np.random.default_rng(0).integers(256, size=(40, 56, 3), dtype=np.uint8)
    regions = drawn((40, 56), 5)
    for name, parts in combined(tmp_path).items():
        parts["prob_threshold"] = 0.3
        plain = load(**parts)
        before = plain.predict(image, CLASSES, background=True)
        for unassigned in ("smallest", 7, None):
            refiners = [*parts.get("refiners", []), RegionVote(unassigned)]
            after = plain.changed(refiners=refiners).predict(image, CLASSES, background=True, regions=regions)
            np.testing.assert_array_equal(after.labels, voted(before.labels, regions, unassigned), err_msg=name)
            assert not np.array_equal(after.labels, before.labels)
            became_background += np.count_nonzero((after.labels == 0) & (before.labels > 0))
        np.testing.assert_array_equal(after.probabilities, before.probabilities)
    assert became_background > 0


@pytest.mark.slow
def test_in_python(load, folder):
    segmentor = load(refiners=[RegionVote()])
    (one, more), (first, second) = (f"photos/{name}.png" for name in SIZES), (f"maps/{name}.npz" for name in SIZES)
    alone = segmentor.predict(one, CLASSES, regions=first)
    for given in (Path(first), drawn(SIZES["one"], 0), torch.from_numpy(drawn(SIZES["one"], 0)).short()):
        np.testing.assert_array_equal(segmentor.predict(one, CLASSES, regions=given).labels, alone.labels)
    several = segmentor.predict([one, more], CLASSES, regions=[first, second])
    np.testing.assert_array_equal(several[0].labels, alone.labels)
    np.testing.assert_array_equal(several[0].probabilities, alone.probabilities)
    each = segmentor.predict_each([more], CLASSES, regions=(path for path in [second]))
    np.testing.assert_array_equal(next(each).labels, several[1].labels)

    with pytest.raises(ConfigError, match=r"RegionVote needs a segment map with each image, and regions is not given"):
        segmentor.predict(one, CLASSES)
    with pytest.raises(ConfigError, match="regions is not given"):
        segmentor.predict_each([one], CLASSES)
    with pytest.raises(DataError, match=r"more/one.npz has 50 x 60 pixels \(height x width\), its image 48 x 64"):
        segmentor.predict(one, CLASSES, regions=second)
    with pytest.raises(DataError, match="There is no segment map number 2"):
        segmentor.predict([one, more], CLASSES, regions=[first])
    with pytest.raises(DataError, match="There is no image number 2"):
        segmentor.predict([one], CLASSES, regions=[first, second])
    with pytest.warns(UserWarning, match="no part reads them"):
        plain = load().predict(one, CLASSES, regions=first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(plain.labels, load().predict(one, CLASSES).labels)


@pytest.mark.slow
def test_panoptic_colours_and_other_sizes(predict, folder):
    """Both are read only where that is asked for."""
    coarse = np.arange(12).reshape(3, 4) + 300
    Path("panoptic").mkdir()
    colours = np.stack([coarse % 256, coarse // 256, coarse * 0], axis=2)
    Path("panoptic/one.png").write_bytes(png(colours, 8, 2))
    predict(VOTE, "--regions=panoptic", "--panoptic_regions", "--resize_regions", "--images=photos/one.png")
    blocks = labels_of("one").reshape(3, 16, 4, 16).transpose(0, 2, 1, 3).reshape(12, -1)
    assert [len(np.unique(block)) for block in blocks[1:]] == [1] * 11
    settings = json.loads(Path("predictions/settings.json").read_text())
    assert settings["regions"] == "segment maps of panoptic colours, resized to the image"
