"""``sclip test`` and ``sclip ablate`` with segment maps: what is read, what is refused, what a run says of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.engine.module import SegmentationModule
from tests.fake_data import write_own

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]

IMAGES = 2
FOLDER = Path("lightning_logs/ImageFolder/a")
VOTE = "--model.refiners+=RegionVote"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Own data with a map per image, of quarters; commands run in a folder of their own."""
    base = write_own(tmp_path / "data", IMAGES, size=(24, 32))
    (base / "maps").mkdir()
    quarters = np.arange(2).repeat(12)[:, None] * 2 + np.arange(2).repeat(16) + 70000
    for i in range(IMAGES):
        np.savez_compressed(base / f"maps/street {i}.npz", instance_mask=quarters)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return base


@pytest.fixture
def run(own, tiny_clip):
    """Runs a command on them."""

    def run(*arguments, command="test"):
        options = [
            *("--config=baseline.yaml", "--data=ImageFolder", f"--data.root={own}", "--data.short_side=48"),
            *(f"--data.classes={own / 'classes.txt'}", "--data.num_workers=0", f"--model.architecture={tiny_clip}"),
            *("--model.templates=none", "--model.crop=48", "--model.stride=32", "--panels.count=0"),
            *("--ranked_panels.worst=0", "--ranked_panels.median=0", "--trainer.accelerator=cpu", "--name=a"),
            "--trainer.enable_progress_bar=false",
        ]
        main([command, *options, *arguments])

    return run


@pytest.fixture
def fails(run, capsys):
    """Runs, expects an orderly end without records, and returns the message."""

    def fails(*arguments):
        with pytest.raises(SystemExit):
            run(*arguments)
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    return fails


def protocol():
    return json.loads((FOLDER / "results.json").read_text())["protocol"]


def test_a_run_is_on_one_set_of_maps(run, fails, own, tmp_path, monkeypatch):
    run(VOTE, f"--data.regions={own / 'maps'}", "--predictions.labels=true", "--ranked_panels.worst=1")
    assert protocol()["regions"] == "segment maps as stored"
    assert protocol()["steps"] == "RegionVote (unassigned smallest)"
    for i in range(IMAGES):
        labels = np.array(Image.open(FOLDER / f"labels/street {i}.png"))
        assert len(np.unique(labels[:12, 16:])) == len(np.unique(labels[12:])) == 1  # but for the smallest number

    monkeypatch.setattr(SegmentationModule, "segment", lambda *_: pytest.fail("segmented an image"))
    shutil.copytree(own / "maps", tmp_path / "copy")
    run(VOTE, f"--data.regions={tmp_path / 'copy'}")
    np.savez_compressed(tmp_path / "copy/street 1.npz", instance_mask=np.ones((24, 32), int))
    assert "regions_sha256" in fails(VOTE, f"--data.regions={tmp_path / 'copy'}")
    message = fails(VOTE, f"--data.regions={own / 'maps'}", "--model.refiners.unassigned=0")
    assert "unassigned smallest), now RegionVote (unassigned 0)" in message


@pytest.fixture
def no_weights(monkeypatch):
    monkeypatch.setattr("sclip_lightning.engine.module.load_clip", lambda *_: pytest.fail("loaded weights"))


def test_what_is_missing_is_found_before_weights_are_loaded(fails, own, no_weights):
    assert "RegionVote needs a segment map with each image, and --data.regions is not given" in fails(VOTE)
    assert "is not there, seen from" in fails(VOTE, "--data.regions=absent")
    assert not FOLDER.exists()
    (own / "maps/street 1.npz").rename(own / "maps/street 1_leftImg8bit.npz")
    error = fails(VOTE, f"--data.regions={own / 'maps'}")
    assert "no segment map of street 1" in error
    assert "called street 1_leftImg8bit.npz" in error
    assert "--data.on_error skip" in error


def test_bad_maps_may_be_skipped(run, own):
    (own / "maps/street 0.npz").write_bytes((own / "maps/street 0.npz").read_bytes()[:-9])
    run(VOTE, f"--data.regions={own / 'maps'}", "--data.on_error=skip")
    notes = " ".join(json.loads((FOLDER / "results.json").read_text())["notes"])
    assert "Incomplete: 1 image could not be scored" in notes
    assert "street 0.npz cannot be read as an npz file" in notes


def test_maps_that_no_part_reads_are_not_read(run, capsys):
    run("--data.regions=absent")
    assert "Note: Segment maps are given (--data.regions), but no part reads them" in capsys.readouterr().out
    assert "regions" not in protocol()


def test_the_vote_is_a_row_of_an_ablation(run, own):
    """Samples are kept from row to row, and the first rows read no maps."""
    arguments = ("--data.num_samples=1", f"--data.regions={own / 'maps'}")
    run(VOTE, *arguments, command="ablate")
    parent = FOLDER.with_name("a-ablation")
    rows = {folder.parent.name: json.loads(folder.read_text()) for folder in parent.glob("*/results.json")}
    assert set(rows) == {"vanilla", "baseline", "regionvote"}
    steps = {name: row["protocol"]["steps"] for name, row in rows.items()}
    assert steps == {"vanilla": "none", "baseline": "none", "regionvote": "RegionVote (unassigned smallest)"}
    assert rows["regionvote"]["metrics"]["aAcc"] != rows["baseline"]["metrics"]["aAcc"]
