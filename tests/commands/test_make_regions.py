"""``sclip make-regions`` as a user types it: what it writes, going on, and what it refuses."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.regions import SLIC, Felzenszwalb
from tests.fake_data import draw_labels, write_image, write_voc
from tests.forked import start_sclip
from tests.tiny_sam import write_sam

FOLDER = Path("region_masks")


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    """Three images, one in a subfolder, where the commands run."""
    pytest.importorskip("skimage", reason='needs pip install -e ".[regions]"')
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("one.jpg", "two.PNG", "more/three.jpg")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, draw_labels((48, 64 + i), 21, seed=i))
    return tmp_path / "photos"


@pytest.fixture
def made(monkeypatch):
    """Sizes of the images that maps were made of, which grows."""
    load, seen = Felzenszwalb.load, []

    def wrapped(self, device):
        maker = load(self, device)
        segment = maker.segment

        def noting(rgb):
            seen.append(rgb.shape[:2])
            return segment(rgb)

        object.__setattr__(maker, "segment", noting)
        return maker

    monkeypatch.setattr(Felzenszwalb, "load", wrapped)
    return seen


@pytest.fixture
def fails(capsys):
    """Run, expect an orderly end, and return the last line that was printed to stderr."""

    def run(*arguments, code=1):
        with pytest.raises(SystemExit) as ending:
            main(["make-regions", *arguments])
        assert ending.value.code == code
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error.strip().splitlines()[-1]

    return run


def maps(folder=FOLDER):
    """Every map of a folder by its stem."""
    found = {}
    for path in sorted(Path(folder).glob("*.npz")):
        with np.load(path) as stored:
            assert stored.files == ["instance_mask"]
            found[path.stem] = stored["instance_mask"]
    return found


def about(folder=FOLDER):
    return json.loads((folder / "masks.json").read_text())


def test_what_it_writes(capsys):
    main(["make-regions", "--images", "photos", "--recursive"])
    found = maps()
    assert list(found) == ["one", "three", "two"]
    segment = Felzenszwalb().load(torch.device("cpu")).segment
    for name, path in {"one": "one.jpg", "two": "two.PNG", "three": "more/three.jpg"}.items():
        assert found[name].dtype == np.int32
        np.testing.assert_array_equal(found[name], segment(np.asarray(Image.open(f"photos/{path}").convert("RGB"))))
    content = about()
    assert (content["generator"], content["model"], content["state"]) == ("Felzenszwalb", None, "complete")
    assert content["settings"] == {"scale": 100, "sigma": 0.5, "min_size": 50}
    assert (content["images"], content["done"], content["empty"], content["skipped"]) == (3, 3, 0, [])
    assert content["sessions"][0]["environment"]["skimage"]
    numbers = [len(np.unique(map_)) for map_ in found.values()]
    printed = capsys.readouterr().out
    assert f"3 images have a segment map in {FOLDER.absolute()}" in printed
    assert f"{min(numbers)} to {max(numbers)}, median {np.median(numbers):g}; 100.0 % of pixels" in printed


def test_what_is_done_is_not_made_again(made):
    main(["make-regions", "--images", "photos"])
    before = maps()
    main(["make-regions", "--images", "photos"])
    assert made == [(48, 64), (48, 65)]
    assert len(about()["sessions"]) == 1
    write_image(Path("photos/one.jpg"), draw_labels((40, 50), 21, seed=9))  # another file now
    (FOLDER / "two.npz").write_bytes((FOLDER / "two.npz").read_bytes()[:-9])  # cut off
    main(["make-regions", "--images", "photos", "--recursive"])
    assert made[2:] == [(40, 50), (48, 65), (48, 66)]
    assert maps()["one"].shape == (40, 50)
    np.testing.assert_array_equal(maps()["two"], before["two"])
    assert [about()[name] for name in ("state", "images", "done")] == ["complete", 3, 3]


def test_other_settings_are_refused_unless_it_starts_afresh(fails):
    main(["make-regions", "--images", "photos"])
    before = maps()
    error = fails("--images=photos", "--maker.scale=20")
    assert f"{FOLDER.absolute()} holds segment maps that were made in another way: settings" in error
    assert "--overwrite" in error
    assert "generator Felzenszwalb, now SLIC" in fails("--images=photos", "--maker=SLIC")
    assert all(np.array_equal(map_, before[name]) for name, map_ in maps().items())
    main(["make-regions", "--images", "photos/one.jpg", "--maker=SLIC", "--maker.segments=20", "--overwrite"])
    assert about()["settings"]["segments"] == 20
    expected = SLIC(20).load(torch.device("cpu")).segment(np.asarray(Image.open("photos/one.jpg")))
    np.testing.assert_array_equal(maps()["one"], expected)
    assert list(maps()) == ["one"]


def test_maps_of_others_are_not_overwritten(fails):
    FOLDER.mkdir()
    np.savez_compressed(FOLDER / "one.npz", instance_mask=np.zeros((48, 64), np.int16))
    assert "one.npz, but no masks.json that says that sclip make-regions wrote" in fails("--images=photos")
    assert "holds one.npz" in fails("--images=photos", "--overwrite")
    assert maps()["one"].dtype == np.int16


def test_images_of_one_stem_are_refused_with_both_names(fails, photos):
    write_image(photos / "more/ONE.png", draw_labels((48, 64), 21, seed=5))
    error = fails("--images=photos", "--recursive")
    assert error.startswith(f"error: {photos / 'one.jpg'} and {photos / 'more/ONE.png'} have one stem")
    assert not FOLDER.exists()
    main(["make-regions", "--images", "photos"])
    error = fails("--images=photos/more")
    assert f"{photos / 'one.jpg'} and {photos / 'more/ONE.png'} have one stem" in error
    assert "has a map in" in error


def test_an_image_that_cannot_be_read(fails, photos, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(photos / "torn.png")
    (photos / "torn.png").write_bytes((photos / "torn.png").read_bytes()[:-300])  # its header is well
    error = fails("--images=photos")
    assert str(photos / "torn.png") in error
    assert "--on_error skip. What was done before lies in" in error
    assert about()["state"] == "unfinished"
    assert "1 of 3 images was skipped" in fails("--images=photos", "--on_error=skip")
    assert list(maps()) == ["one", "two"]
    assert [about()["state"], about()["done"], len(about()["skipped"])] == ["complete", 2, 1]
    (photos / "torn.png").write_text("no image")
    assert "To skip such images: --on_error skip." in fails("--images=photos")


def test_of_a_benchmark_the_split_is_taken_and_nothing_is_turned(fails, made):
    images = write_voc(Path("data"), 3) / "JPEGImages"
    listed = images.parent / "ImageSets/Segmentation/val.txt"
    listed.write_text("".join(f"{line}\n" for line in listed.read_text().split()[:2]))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    stored = Image.open(images / "2007_000000.jpg").copy()
    stored.save(images / "2007_000000.jpg", exif=exif)
    main(["make-regions", "--data=VOC21", "--data.root=data"])
    assert {name: map_.shape for name, map_ in maps().items()} == {"2007_000000": (48, 64), "2007_000001": (64, 48)}
    main(["make-regions", "--data=VOC20", "--data.root=data", "--data.num_samples=1"])
    assert len(made) == 2
    assert "images_are_turned" in fails(f"--images={images}")
    main(["make-regions", "--images", str(images / "2007_000000.jpg"), "--output_dir=own"])
    assert maps("own")["2007_000000"].shape == (64, 48)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Give the images with --images, or a benchmark's with --data NAME"),
        (["--images=photos", "--data=Demo"], 2, "one of both"),
        (["--images=photos", "--maker=Slic"], 2, "--maker is Slic, but must be Felzenszwalb, SAM or SLIC"),
        (["--images=photos", "--maker.sigma=-1"], 1, "--maker: Felzenszwalb's sigma is -1.0"),
        (["--images=photos", "--maker.points_per_side=3"], 2, "no option --maker.points_per_side"),
        (["--images=photos", "--recursiv"], 2, "There is no option --recursiv. Did you mean --recursive?"),
        (["--images=nowhere"], 1, "There is no image or folder nowhere (--images)"),
    ],
)
def test_mistakes(fails, arguments, code, message):
    assert message in fails(*arguments, code=code)
    assert not FOLDER.exists()


@pytest.mark.slow
def test_with_sam(capsys, tmp_path):
    pytest.importorskip("transformers", reason='needs pip install -e ".[regions]"')
    model = write_sam(tmp_path / "sam")
    sam = ["make-regions", "--images=photos", "--maker=SAM", f"--maker.model={model}", "--maker.points_per_side=2"]
    main([*sam, "--maker.iou_threshold=0", "--maker.stability_threshold=0", "--device=cpu"])
    assert all(map_.shape[0] == 48 and map_.max() >= 1 for map_ in maps().values())
    content = about()
    assert (content["generator"], content["model"], len(content["weights_sha256"])) == ("SAM", model, 12)
    assert content["settings"]["order"] == "large_on_top"
    main([*sam, "--maker.iou_threshold=1", "--output_dir=none", "--device=cpu"])
    assert "2 maps have no segment, since no mask passed: lower --maker.iou_threshold" in capsys.readouterr().out
    assert about(Path("none"))["empty"] == 2
    assert all(map_.max() == 0 for map_ in maps("none").values())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_ctrl_c_waits_for_the_map_in_hand(fails, monkeypatch, made):
    load = Felzenszwalb.load

    def stopping(self, device):
        os.environ.pop("SCLIP_PARENT", None)
        maker = load(self, device)
        segment = maker.segment

        def segment_and_stop(rgb):
            os.kill(os.getpid(), signal.SIGINT)
            return segment(rgb)

        object.__setattr__(maker, "segment", segment_and_stop)
        return maker

    monkeypatch.setattr(Felzenszwalb, "load", stopping)
    error = fails("--images=photos", code=130)
    assert "(1 of 2 images is done): the same command goes on from there" in error
    assert list(maps()) == ["one"]
    assert [about()[name] for name in ("state", "done")] == ["unfinished", 1]
    monkeypatch.setattr(Felzenszwalb, "load", load)
    main(["make-regions", "--images=photos"])
    assert len(made) == 2
    assert [about()[name] for name in ("state", "done")] == ["complete", 2]


@pytest.mark.slow
def test_several_processes_share_the_images():
    main(["make-regions", "--images=photos", "--recursive", "--output_dir=alone"])
    process = start_sclip("make-regions", "--images=photos", "--recursive", "--devices=2", slow=False)
    assert process.wait(600) == 0, process.stderr.read()
    together, alone = maps(), maps("alone")
    assert list(together) == list(alone) == ["one", "three", "two"]
    assert all(np.array_equal(together[name], alone[name]) for name in alone)
    assert len(list((FOLDER / "records").glob("*.jsonl"))) == 2
    assert about()["sessions"][0]["devices"] == "2 x cpu"
    assert about()["done"] == 3
