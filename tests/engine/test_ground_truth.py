"""What is read as ground truth belongs to a run: with other files or other meanings nothing goes on."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.data.reading import dataset
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.engine.recording import Recording
from sclip_lightning.records import load_records
from tests.fake_data import write_own

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]

IMAGES = 3
FOLDER = Path("lightning_logs/ImageFolder/a")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Own data with two folders of masks, ``masks`` and ``others``; commands run in a folder of their own."""
    base = write_own(tmp_path / "data", IMAGES, size=(24, 32))
    (base / "others").mkdir()
    for path in (base / "masks").iterdir():
        Image.fromarray(np.array(Image.open(path))[::-1].copy()).save(base / "others" / path.name)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return base


@pytest.fixture
def run(own, tiny_clip):
    """Runs ``sclip test`` on them."""

    def run(*arguments, root=own):
        options = [
            "--config=baseline.yaml",
            "--data=ImageFolder",
            f"--data.root={root}",
            f"--data.classes={own / 'classes.txt'}",
            "--data.short_side=48",
            "--data.num_workers=0",
            f"--model.architecture={tiny_clip}",
            "--model.templates=none",
            "--model.crop=48",
            "--model.stride=32",
            "--panels.count=0",
            "--ranked_panels.worst=0",
            "--ranked_panels.median=0",
            "--trainer.accelerator=cpu",
            "--trainer.enable_progress_bar=false",
            "--name=a",
        ]
        main(["test", *options, *arguments])

    return run


@pytest.fixture
def fails(run, capsys):
    """Runs, expects an orderly end that leaves what was written as it was, and returns the message."""

    def fails(*arguments, **options):
        before = {path: path.read_bytes() for path in FOLDER.rglob("*.[jyc]*") if path.is_file()}
        with pytest.raises(SystemExit):
            run(*arguments, **options)
        assert {path: path.read_bytes() for path in FOLDER.rglob("*.[jyc]*") if path.is_file()} == before
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    return fails


def nothing_is_segmented(monkeypatch):
    monkeypatch.setattr(SegmentationModule, "segment", lambda *_: pytest.fail("segmented an image"))


def test_other_options_of_the_data_are_another_protocol(run, fails, own, monkeypatch):
    run()
    protocol = json.loads((FOLDER / "results.json").read_text())["protocol"]
    assert (protocol["data"], protocol["data.masks"], protocol["data.split"]) == ("ImageFolder", "masks", "none")
    nothing_is_segmented(monkeypatch)
    assert "data.masks masks, now others" in fails("--data.masks=others")
    (own / "val.txt").write_text("street 0\nstreet 1\nstreet 2\n")
    assert "data.split none, now val.txt" in fails("--data.split=val.txt")
    for i in range(IMAGES):
        Image.fromarray(np.zeros((24, 32), np.uint8)).save(own / f"masks/street {i}.png")
    error = fails("--data.zero_is_void=true")
    assert "data.zero_is_void False, now True" in error
    assert "label_map_sha256" in error
    assert "ground_truth own masks (*.png, class indices), now" in error


def test_the_root_may_move_and_options_be_spelled_out(run, own, tmp_path, monkeypatch):
    run()
    nothing_is_segmented(monkeypatch)
    run(f"--data.masks={own / 'masks'}", "--data.images=images")
    shutil.copytree(own, tmp_path / "copy")
    run(root=tmp_path / "copy")
    monkeypatch.setenv("SCLIP_DATA_ROOT", str(own))
    run(root="")


@pytest.mark.parametrize("kind", ["masks", "images"])
def test_a_file_that_changed_is_named(run, fails, own, kind, monkeypatch):
    run()
    nothing_is_segmented(monkeypatch)
    path = sorted((own / kind).iterdir())[1]
    whole, status = path.read_bytes(), path.stat()
    changed = np.array(Image.open(path))
    changed[0, 0] = 1 - np.minimum(changed[0, 0], 1)
    Image.fromarray(changed).save(path, quality=95)
    # Nor does it help that the time of the change was set back.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    error = fails()
    assert f"the {kind[:-1]} {path}" in error
    assert "more)" not in error
    assert "--overwrite" in error
    path.write_bytes(whole[:-30])
    assert path.name in fails()
    path.write_bytes(whole)
    run()


def test_the_same_labels_in_other_files_are_the_same(run, own, monkeypatch):
    run()
    nothing_is_segmented(monkeypatch)
    path = own / "masks/street 1.png"
    labels = np.array(Image.open(path))
    Image.fromarray(labels).save(path, compress_level=0)
    (own / "images/street 0.jpg").touch()
    run()


def test_files_are_not_read_again_while_they_are_the_same(run, monkeypatch):
    run()
    read, read_mask = [], dataset.read_mask
    monkeypatch.setattr(dataset, "read_mask", lambda path: read.append(path) or read_mask(path))
    run()
    assert len(read) == 1  # a process without images of its own runs along on a borrowed one


def test_one_run_is_on_one_ground_truth(run, fails, own, monkeypatch):
    """Stopped after one image on masks A, a run goes on neither with masks B nor in part."""
    scored = Recording.scored

    def scored_until(self, *arguments):
        scored(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Recording, "scored", scored_until)
        run()
    assert len(load_records(FOLDER).images) == 1
    (own / "masks").rename(own / "first")
    (own / "others").rename(own / "masks")
    assert f"the mask {own / 'masks/street 0.png'}" in fails()
    assert len(load_records(FOLDER).images) == 1
    shutil.copy(own / "first/street 0.png", own / "masks/street 0.png")
    run()  # images that had no record may have changed
    assert len(load_records(FOLDER).images) == IMAGES


def test_the_configuration_stays_where_nothing_was_computed(run):
    run()
    config = (FOLDER / "config.yaml").read_bytes()
    run("--data.batch_size=3")
    assert (FOLDER / "config.yaml").read_bytes() == config
    run("--data.batch_size=3", "--predictions.labels=true")
    assert b"batch_size: 3" in (FOLDER / "config.yaml").read_bytes()
