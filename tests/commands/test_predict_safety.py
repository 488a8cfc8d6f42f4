"""``sclip predict`` over many images: whole files or none, a folder of its own, one image in memory, plain ends."""

import csv
import json
import os
import resource
import signal
import time
import weakref
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Barrier, Thread

import pytest
import torch
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.commands import score
from sclip_lightning.commands.failures import explain
from sclip_lightning.errors import DataError
from sclip_lightning.jobs import session
from sclip_lightning.model.memory import memory_for
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.prediction import Prediction
from sclip_lightning.records.files import RecordWriter
from sclip_lightning.records.run_folder import new_run_folder
from sclip_lightning.refine import PAMR, DenseCRF, RegionVote
from sclip_lightning.reports.shares import ShareTable
from sclip_lightning.segmentor import Segmentor
from tests.fake_data import draw_labels, write_image, write_voc

IMAGES = 3


@pytest.fixture
def predict(tmp_path, monkeypatch, tiny_clip):
    """Run the command on three small images."""
    for i in range(IMAGES):
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_image(tmp_path / f"photos/{i}.png", draw_labels((48, 64), 21, seed=i))
    monkeypatch.chdir(tmp_path)
    options = [
        "--images=photos",
        "--classes=cat, sky",
        f"--model.architecture={tiny_clip}",
        '--model.templates=["a {}"]',
        "--model.crop=48",
        "--model.stride=32",
        "--short_side=64",
        "--device=cpu",
    ]
    return lambda *more: main(["predict", *options, *more])


@pytest.fixture
def fails(predict, capsys):
    """Run, expect an orderly end with one sentence, and return it."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ending:
            predict(*arguments)
        assert ending.value.code == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ")
        return error

    return run


@contextmanager
def no_room(size):
    """No file may grow beyond so many bytes, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def done():
    with Path("predictions/shares.csv").open(newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def files():
    return sorted(path.relative_to("predictions").as_posix() for path in Path("predictions").rglob("*.png"))


@pytest.fixture
def before_each(monkeypatch):
    """Have something done before each image is segmented; it is given the image's number."""
    segment = Segmentor.predict

    def install(action):
        numbers = count()

        def wrapped(self, *arguments, **options):
            action(next(numbers))
            return segment(self, *arguments, **options)

        monkeypatch.setattr(Segmentor, "predict", wrapped)

    return install


def test_a_full_disk_leaves_whole_files_and_one_sentence(fails, monkeypatch, predict):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    add = RecordWriter.add

    def fill(self, record):
        add(self, record)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))

    try:
        with monkeypatch.context() as patch:
            patch.setattr(RecordWriter, "add", fill)
            error = fails()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in error
    assert "Make room" in error
    assert str(Path("predictions").absolute()) in error
    assert files() == ["labels/0.png", "overlays/0.png"]
    for path in files():
        Image.open(Path("predictions") / path).load()
    predict()
    assert done() == ["0", "1", "2"]


def test_an_image_without_a_row_has_no_files_either(fails, monkeypatch):
    add = RecordWriter.add

    def add_until(self, record):
        if record.id == "1":
            raise OSError(28, "No space left on device")
        add(self, record)

    monkeypatch.setattr(RecordWriter, "add", add_until)
    assert "No space left on device" in fails()
    assert done() == ["0"]
    assert files() == ["labels/0.png", "overlays/0.png"]


def test_a_row_that_does_not_fit_is_not_begun(tmp_path):
    with ShareTable(tmp_path / "shares.csv", ["cat", "sky"]) as table:
        table.add(Path("a.png"), "a", (2, 2), [0.5, 0.5])
        before = (tmp_path / "shares.csv").read_bytes()
        with no_room(len(before) + 5), pytest.raises(OSError, match="File too large"):
            table.add(Path("b.png"), "b", (2, 2), [0.5, 0.5])
        assert (tmp_path / "shares.csv").read_bytes() == before
        table.add(Path("c.png"), "c", (2, 2), [0.25, 0.75])
    assert "2 images" in table.summary()
    assert len((tmp_path / "shares.csv").read_text().splitlines()) == 3


def test_settings_hold_the_templates(predict):
    predict()
    assert json.loads(Path("predictions/settings.json").read_text())["templates"] == ["a {}"]


def test_of_images_before_only_what_is_to_be_written_is_kept(predict, monkeypatch):
    segment, class_maps, pictures = Segmentor.predict, [], []

    def watched(self, *arguments, **options):
        assert [reference() for reference in class_maps] == [None] * len(class_maps)
        assert sum(reference() is not None for reference in pictures) <= 3
        prediction = segment(self, *arguments, **options)
        class_maps.append(weakref.ref(prediction))  # which they hang on
        pictures.append(weakref.ref(prediction.image))
        return prediction

    monkeypatch.setattr(Segmentor, "predict", watched)
    predict("--model.refiners=[PAMR]")
    assert len(pictures) == IMAGES


def test_what_goes_wrong_behind_the_network_is_of_that_image(predict, monkeypatch, capsys):
    draw = Prediction.overlay

    def exhaust(self, title):
        if title == "1":
            raise MemoryError("Unable to allocate 64 GiB")
        return draw(self, title)

    monkeypatch.setattr(Prediction, "overlay", exhaust)
    with pytest.raises(SystemExit):
        predict("--on_error=skip")
    assert "1.png: The machine has no memory left (Unable to allocate 64 GiB)" in capsys.readouterr().err
    assert (done(), files()) == (["0", "2"], ["labels/0.png", "labels/2.png", "overlays/0.png", "overlays/2.png"])


def test_what_goes_wrong_with_an_image_in_hand_is_said_of_a_session_that_stops(fails, monkeypatch):
    def fail(self, title):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)  # in which the next image is segmented, and the request to stop seen
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session, "has_spare_core", lambda device: True)
    monkeypatch.setattr(Prediction, "overlay", fail)
    assert "No space left on device" in fails()
    assert files() == []


# Memory


def test_an_image_too_large_for_the_memory_is_skipped(predict, before_each, capsys):
    def exhaust(number):
        if number == 1:
            raise MemoryError("Unable to allocate 64 GiB")

    before_each(exhaust)
    with pytest.raises(SystemExit):
        predict("--on_error=skip")
    assert done() == ["0", "2"]
    assert "1.png: The machine has no memory left (Unable to allocate 64 GiB)" in capsys.readouterr().err


def test_without_skipping_it_ends_the_command_in_one_sentence(fails, before_each):
    def exhaust(number):
        if number == 1:
            torch.empty(2**62, dtype=torch.int8)  # the very error of torch's allocator

    before_each(exhaust)
    error = fails()
    assert "1.png: The machine has no memory left" in error
    assert "--model.window_batch_size" in error
    assert "--on_error skip" in error


def test_errors_of_another_kind_are_not_hidden(predict, before_each):
    def break_(number):
        raise RuntimeError("a defect")

    before_each(break_)
    with pytest.raises(RuntimeError, match="a defect"):
        predict("--on_error=skip")


@pytest.mark.parametrize(
    ("options", "expected", "others"),
    [
        ({}, ["--model.window_batch_size", "short side"], ["--model.refiners", "--model.crop"]),
        ({"refiners": [RegionVote()]}, ["--model.window_batch_size"], ["--model.refiners"]),
        ({"refiners": [PAMR(), DenseCRF()]}, ["PAMR and DenseCRF (--model.refiners)", "short side"], []),
        ({"crop": 0}, ["short side", "--model.crop"], ["--model.window_batch_size"]),
    ],
)
def test_advice_names_what_bounds_the_memory(options, expected, others):
    gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    chosen = SegmentorOptions(**options)
    for error, where in ((MemoryError(), "The machine has no memory left (MemoryError)"), (gpu, "The GPU has no")):
        advice = explain(error, chosen)
        assert advice.startswith(where)
        with pytest.raises(DataError) as of_image, memory_for("a.png", (600, 800), chosen):
            raise error
        assert "a.png has 600 x 800 pixels" in str(of_image.value)
        for text in (advice, str(of_image.value)):
            assert all(words in text for words in expected)
            assert not any(words in text for words in others)
    assert explain(ValueError("x"), chosen) is None


# Folders


def test_starts_at_the_same_moment_have_folders_of_their_own(tmp_path):
    together, folders = Barrier(8), []

    def start():
        together.wait()
        folders.append(new_run_folder(str(tmp_path), "VOC21", "run"))

    threads = [Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {folder.name for folder in folders} == {"run", *(f"run-{number}" for number in range(2, 9))}
    assert all(folder.is_dir() for folder in folders)


def test_two_of_score_have_folders_of_their_own(tmp_path, monkeypatch):
    base = write_voc(tmp_path / "voc", 2)
    monkeypatch.chdir(tmp_path)
    compute = score.score_predictions

    def meanwhile(*arguments):
        Path("lightning_logs/VOC21/score").mkdir(parents=True)  # another one was faster
        return compute(*arguments)

    monkeypatch.setattr(score, "score_predictions", meanwhile)
    Path("maps").mkdir()
    for path in (base / "SegmentationClass").glob("*.png"):
        Image.new("L", Image.open(path).size).save(Path("maps") / path.name)
    main(["score", "--data=VOC21", f"--data.root={tmp_path / 'voc'}", "--predictions=maps"])
    assert list(Path("lightning_logs/VOC21/score").iterdir()) == []
    assert Path("lightning_logs/VOC21/score-2/results.json").is_file()
