"""``sclip predict`` given again does what is left, in as many processes as it is told, and refuses anything else."""

import csv
import json
import os
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.data.reading.pixels import MOST_PIXELS, allow_pixels
from sclip_lightning.jobs import session
from sclip_lightning.prediction import Prediction
from sclip_lightning.records.predicted import PredictedImages
from sclip_lightning.records.whole import is_whole
from sclip_lightning.segmentor import Segmentor
from tests.fake_data import draw_labels, write_image
from tests.forked import start_sclip

pytestmark = pytest.mark.slow

IMAGES = 6
PATIENCE = 600


@pytest.fixture
def arguments(tmp_path, monkeypatch, tiny_clip):
    """What makes the command small; images of several sizes."""
    (tmp_path / "photos").mkdir()
    for i in range(IMAGES):
        write_image(tmp_path / f"photos/{i}.png", draw_labels((48 + i, 64), 21, seed=i))
    monkeypatch.chdir(tmp_path)
    return [
        "predict",
        "--images=photos",
        "--classes=cat, sky, grass",
        f"--model.architecture={tiny_clip}",
        "--model.templates=none",
        "--model.crop=48",
        "--model.stride=32",
        "--short_side=64",
        "--device=cpu",
    ]


@pytest.fixture
def predict(arguments):
    return lambda *more: main([*arguments, *more])


@pytest.fixture
def fails(predict, capsys):
    def run(*more):
        with pytest.raises(SystemExit) as ending:
            predict(*more)
        assert ending.value.code == 1
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error.strip().splitlines()[-1]

    return run


@pytest.fixture
def taken(monkeypatch):
    """Names of the images that were read to be segmented, which grows."""
    prepare, seen = Segmentor.prepare, []

    def wrapped(self, path, *arguments, **options):
        seen.append(path.stem)
        return prepare(self, path, *arguments, **options)

    monkeypatch.setattr(Segmentor, "prepare", wrapped)
    return seen


@pytest.fixture
def has_spare_core(monkeypatch):
    """Say whether there is a core for a thread beside the network."""
    return lambda whether: monkeypatch.setattr(session, "has_spare_core", lambda device: whether)


def settings(folder="predictions"):
    return json.loads(Path(folder, "settings.json").read_text())


def names(folder="predictions"):
    with Path(folder, "shares.csv").open(newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def content(folder):
    """All that two runs of one job must have in common."""
    files = [*Path(folder, "labels").rglob("*"), *Path(folder, "overlays").rglob("*")]
    files += [*Path(folder).glob("coco.json"), *Path(folder).glob("polygons/*"), Path(folder, "shares.csv")]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_given_again_it_does_what_is_left(predict, taken, capsys):
    predict()
    first, printed = content("predictions"), capsys.readouterr().out
    assert settings()["state"] == "complete"
    Path("predictions/labels/2.png").unlink()
    Path("predictions/overlays/4.png").write_bytes(b"torn")
    write_image(Path("photos/5.png"), draw_labels((60, 64), 21, seed=9))  # another image under the name
    write_image(Path("photos/6.png"), draw_labels((48, 64), 21, seed=6))
    del taken[:]
    predict()
    assert taken == ["2", "4", "5", "6"]
    assert {name for name, bytes_ in content("predictions").items() if first.get(name) != bytes_} == {
        *("labels/5.png", "labels/6.png", "overlays/5.png", "overlays/6.png", "shares.csv")
    }
    assert names() == [*map(str, range(IMAGES + 1))]
    assert (settings()["images"], len(settings()["sessions"])) == (IMAGES + 1, 2)
    before = content("predictions")
    predict()
    assert len(taken) == 4
    assert (content("predictions"), len(settings()["sessions"])) == (before, 2)
    assert printed.splitlines()[1] in capsys.readouterr().out


def test_other_settings_are_refused(predict, fails, taken):
    predict()
    before = content("predictions")
    for option, said in (("--short_side=48", "short_side 64, now 48"), ("--classes=cat, dog", "class_names")):
        error = fails(option)
        assert "made in another way" in error
        assert said in error
        assert "--overwrite" in error
    assert content("predictions") == before
    predict("--short_side=48", "--overwrite")
    assert settings()["short_side"] == 48
    assert len(taken) == 2 * IMAGES


def test_other_images_are_refused(predict, fails):
    predict()
    Path("photos/0.png").rename("photos/9.png")
    error = fails()
    assert "0.png, called 0, is not among those given now" in error
    assert "--overwrite" in error


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_what_is_not_ours_is_left_alone(fails, overwrite):
    Path("predictions/labels").mkdir(parents=True)
    Path("predictions/labels/mine.png").touch()
    assert "labels, but no settings.json" in fails(*overwrite)
    assert [path.name for path in Path("predictions").rglob("*")] == ["labels", "mine.png"]


def test_predictions_of_an_earlier_version_are_named(fails):
    Path("predictions/labels").mkdir(parents=True)
    Path("predictions/settings.json").write_text("{}")
    assert "another version of sclip_lightning wrote it" in fails()


def test_skipped_images_are_tried_again(predict, fails, capsys, taken):
    whole = Path("photos/1.png").read_bytes()
    Path("photos/1.png").write_bytes(whole[:-300])
    Path("photos/3.png").write_text("no image")
    assert "2 of 6 images were skipped" in fails("--on_error=skip")
    assert [Path(text.split(" ")[0]).name for text in settings()["skipped"]] == ["1.png", "3.png"]
    Path("photos/1.png").write_bytes(whole)
    del taken[:]
    assert "1 of 6 images was skipped" in fails("--on_error=skip")
    assert taken == ["1", "3"]
    assert names() == ["0", "1", "2", "4", "5"]
    assert len(settings()["skipped"]) == 1
    Path("photos/1.png").write_bytes(whole[:-300])  # what it had before must not stay
    assert "2 of 6 images were skipped" in fails("--on_error=skip")
    assert names() == ["0", "2", "4", "5"]
    assert not Path("predictions/labels/1.png").exists()


# Behind the network


def test_files_are_written_behind_the_network_of_a_few_images(predict, taken, has_spare_core, monkeypatch):
    """What a kill would cost at most: one image in the network's thread, one being written, three that wait."""
    has_spare_core(False)
    predict("--output_dir=alone")
    alone = content("alone")
    del taken[:]

    segment, save, segmented, seen, threads = Segmentor.predict, Prediction.save, [], [], set()

    def noted(self, image, *arguments):
        segmented.append(image.source)
        return segment(self, image, *arguments)

    def slow(self, path):
        threads.add(threading.current_thread())
        deadline = time.monotonic() + PATIENCE
        while not seen and (len(segmented) < 5 or len(taken) < 6):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        if not seen:
            time.sleep(0.05)  # in which nobody may go on
            seen.append((len(segmented), len(taken), len(PredictedImages(Path("behind")).done)))
        save(self, path)

    monkeypatch.setattr(Segmentor, "predict", noted)
    monkeypatch.setattr(Prediction, "save", slow)
    has_spare_core(True)
    predict("--output_dir=behind")
    assert (seen, content("behind")) == ([(5, 6, 0)], alone)
    assert [thread.name for thread in threads] == ["behind-the-network"]
    threads.clear()
    monkeypatch.setattr(session, "WAITING_BYTES", 5 * 50 * 64)  # which of all images the first three have
    del taken[:]
    predict("--output_dir=large")
    assert content("large") == alone
    assert {thread.name for thread in threads} == {"behind-the-network", threading.main_thread().name}


# Exports


def test_exports_of_a_finished_folder(predict, taken):
    predict("--export=[coco,polygons]", "--output_dir=at-once")
    predict("--output_dir=later")
    del taken[:]
    predict("--output_dir=later", "--export=[coco,polygons]")
    assert not taken
    assert content("at-once") == content("later")


def test_coco_is_read_by_its_tools(predict):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    predict("--export=[coco]", "--background")
    read = coco.COCO("predictions/coco.json")
    assert [(one["id"], one["name"]) for one in read.loadCats(read.getCatIds())] == [
        (1, "cat"), (2, "sky"), (3, "grass"),
    ]  # fmt: skip
    annotated = 0
    for image in read.loadImgs(read.getImgIds()):
        with Image.open(f"predictions/labels/{Path(image['file_name']).stem}.png") as stored:
            labels = np.asarray(stored)
        assert labels.shape == (image["height"], image["width"])
        annotations = read.loadAnns(read.getAnnIds(imgIds=image["id"]))
        assert [one["category_id"] for one in annotations] == [c for c in np.unique(labels).tolist() if c]
        for one in annotations:
            np.testing.assert_array_equal(read.annToMask(one), labels == one["category_id"])
            assert one["area"] == (labels == one["category_id"]).sum()
            annotated += 1
    assert annotated > 0


def test_polygons_name_class_and_colour(predict):
    predict("--export=[polygons]", "--tolerance=0")
    for image in names():
        page = json.loads(Path(f"predictions/polygons/{image}.geojson").read_text())
        labels = np.asarray(Image.open(f"predictions/labels/{image}.png"))
        assert (page["height"], page["width"], page["tolerance"]) == (*labels.shape, 0)
        pixels = np.zeros(3)
        for feature in page["features"]:
            assert feature["properties"]["classification"]["name"] == feature["properties"]["class"]
            for ring in feature["geometry"]["coordinates"]:
                assert ring[0] == ring[-1]
                x, y = np.array(ring).T
                pixels[feature["properties"]["index"]] += (x[:-1] * y[1:] - y[:-1] * x[1:]).sum() / 2
        assert pixels.tolist() == np.bincount(labels.ravel(), minlength=3).tolist()


# Large images


def test_more_pixels_on_request(predict, fails):
    try:
        error = fails("--max_pixels=3000")
        assert "--max_pixels" in error
        assert "0.png" in error
        predict("--max_pixels=10000")
    finally:
        allow_pixels(MOST_PIXELS)


# Processes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--devices=0"], "--devices"),
        (["--num_nodes=0"], "--num_nodes"),
        (["--devices=2", "--device=cpu:0"], "--device cpu:0 is one device"),
        (["--max_pixels=0"], "--max_pixels"),
        (["--tolerance=-1"], "--tolerance"),
    ],
)
def test_numbers_that_cannot_be(fails, options, said):
    assert said in fails(*options)
    assert not Path("predictions").exists()


def wait_for_records(process, folder, number):
    deadline = time.monotonic() + PATIENCE
    while not Path(folder, "shares.csv").exists() or len(PredictedImages(Path(folder)).done) < number:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_two_processes_and_gone_on(arguments, predict, has_spare_core, number):
    export = "--export=[coco,polygons]"
    has_spare_core(False)
    predict("--output_dir=whole", export)
    has_spare_core(True)
    command = [*arguments, "--output_dir=ended", export, "--devices=2"]
    process = start_sclip(*command)
    wait_for_records(process, "ended", 2)
    os.killpg(process.pid, number)
    process.wait(PATIENCE)
    error = process.stderr.read()
    images = [name for name, _ in PredictedImages(Path("ended")).done.values()]
    done = len(images)
    assert 2 <= done < IMAGES
    # Whatever has a record has its files.
    assert all(is_whole(Path(f"ended/{folder}/{name}.png")) for name in images for folder in ("labels", "overlays"))
    assert settings("ended")["state"] == "unfinished"
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert f"({done} of {IMAGES} images are done): the same command goes on" in error
        assert len(names("ended")) == done
    process = start_sclip(*command, slow=False)
    assert process.wait(PATIENCE) == 0, process.stderr.read()
    assert content("ended") == content("whole")
    assert settings("ended")["state"] == "complete"
    assert [session["devices"] for session in settings("ended")["sessions"]] == ["2 x cpu", "2 x cpu"]


def test_a_bad_image_of_another_process_ends_all(arguments):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save("photos/3.png")
    Path("photos/3.png").write_bytes(Path("photos/3.png").read_bytes()[:-300])  # its header is well
    process = start_sclip(*arguments, "--devices=2")
    process.wait(PATIENCE)
    error = process.stderr.read()
    assert process.returncode == 1
    assert "Another process of this run ended with 1" in error
    assert "Traceback" not in error
    process = start_sclip(*arguments, "--devices=2", "--on_error=skip", slow=False)
    process.wait(PATIENCE)
    assert process.returncode == 1
    error = process.stderr.read()
    assert "1 of 6 images was skipped" in error
    assert "Skipped: " in error
    assert "3.png" in error
    assert names() == ["0", "1", "2", "4", "5"]


def test_memory_does_not_grow_with_the_number_of_images(predict, monkeypatch):
    """300 images more take less than 64 of their label maps would; drawing and CLIP are left out."""
    image, side = Path("photos/0.png").read_bytes(), 256
    for i in range(400):
        Path(f"photos/many{i:04}.png").write_bytes(image)
    peaks = []

    def segmented(self, image, vocabulary):
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        labels = np.zeros((side, side), np.uint8)
        rgb = np.zeros((side, side, 3), np.uint8)
        return Prediction(labels, vocabulary.names, vocabulary.palette, rgb, False, lambda: None)

    monkeypatch.setattr(Segmentor, "predict", segmented)
    monkeypatch.setattr(Prediction, "overlay", lambda *_: Image.new("RGB", (1, 1)))
    predict("--export=[coco]")
    assert len(peaks) == 400 + IMAGES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peaks[100] < 64 * side * side / 1024
