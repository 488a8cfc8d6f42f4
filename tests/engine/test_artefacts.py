"""Whatever a run writes has its name from one place, and ``--overwrite`` deletes all of it."""

import os
from pathlib import Path

import pytest

from sclip_lightning.cli import main
from sclip_lightning.records import artefacts
from sclip_lightning.records.run_folder import clear_run
from tests.fake_data import write_voc

pytestmark = pytest.mark.slow

FOLDER = Path("lightning_logs/VOC21/a")
EVERYTHING = [
    *("--predictions.labels=true", "--predictions.overlays=true", "--predictions.probabilities=true"),
    *("--panels.count=2", "--ranked_panels.worst=1", "--ranked_panels.median=1"),
]
NOTHING = ["--panels.count=0", "--ranked_panels.worst=0", "--ranked_panels.median=0"]


@pytest.fixture
def options(tiny_clip, tmp_path, monkeypatch):
    write_voc(tmp_path / "data", 3)
    monkeypatch.chdir(tmp_path)
    return [
        "test",
        *("--config", "baseline.yaml", "--data", "VOC21", f"--data.root={tmp_path / 'data'}", "--name=a"),
        *("--data.short_side=64", "--data.num_workers=0", f"--model.architecture={tiny_clip}"),
        *("--model.templates=none", "--model.crop=48", "--model.stride=32", "--trainer.accelerator=cpu"),
        "--trainer.enable_progress_bar=false",
    ]


def owners(path):
    """The patterns that name a file or folder in a run's folder."""
    return [pattern for pattern in artefacts.ALL if path.match(pattern)]


def test_all_that_is_written_is_known_and_deleted(options):
    main([*options, *EVERYTHING])
    written = list(FOLDER.iterdir())
    assert [path.name for path in written if not owners(path)] == []  # a writer with a name of its own
    assert {owner for path in written for owner in owners(path)} == set(artefacts.ALL)  # a name that nobody writes
    (FOLDER / "mine.txt").write_text("")
    clear_run(FOLDER)
    assert sorted(path.name for path in FOLDER.iterdir()) == ["mine.txt", artefacts.RECORDS]
    assert [path.name for path in (FOLDER / artefacts.RECORDS).iterdir()] == [artefacts.LOCK]  # another may wait for it


@pytest.mark.usefixtures("plain_board")
def test_overwrite_leaves_nothing_of_the_run_before(options):
    main([*options, *EVERYTHING])
    for path in FOLDER.rglob("*"):
        os.utime(path, (0, 0))
    main([*options, *NOTHING, "--overwrite"])
    left = {path.name for path in FOLDER.iterdir()}
    outdated = [path.name for path in FOLDER.rglob("*") if path.stat().st_mtime == 0]
    assert outdated == []
    assert len(list(FOLDER.glob(artefacts.EVENTS))) == 1
    kept = {artefacts.PANELS, artefacts.RANKED_PANELS, artefacts.LABELS, artefacts.OVERLAYS, artefacts.PROBABILITIES}
    assert left & kept == set()
    assert len(list((FOLDER / artefacts.RECORDS).glob("*.jsonl"))) == 1


def test_ids_that_are_paths_name_files():
    assert artefacts.image_file("lindau/000019", ".png") == "lindau_000019.png"
