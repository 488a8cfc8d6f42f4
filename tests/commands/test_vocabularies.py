"""``sclip vocabularies``: digits of runs by themselves, features computed once, and going on."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from sclip_lightning.cli import main
from sclip_lightning.records import load_records
from sclip_lightning.towers import ClipTower
from tests.fake_data import write_voc

pytestmark = pytest.mark.usefixtures("plain_board")

FOLDER = Path("lightning_logs/VOC21/baseline-vocabularies")


@pytest.fixture
def run(tmp_path, tiny_clip, monkeypatch):
    """Runs a command on a VOC of two images; commands run in a folder of their own."""
    write_voc(tmp_path / "data", 2)
    monkeypatch.chdir(tmp_path)

    def run(command, *arguments):
        options = [
            *("--config=baseline.yaml", "--data=VOC21", "--data.root=data", "--data.short_side=32", "--model.crop=32"),
            *("--model.stride=16", f"--model.architecture={tiny_clip}", "--model.templates=none"),
            *("--data.num_workers=0", "--trainer.accelerator=cpu", "--trainer.devices=1", "--panels.count=0"),
            *("--ranked_panels.worst=0", "--ranked_panels.median=0", "--trainer.enable_progress_bar=false"),
        ]
        main([command, *options, *arguments])

    return run


@pytest.fixture
def passes(monkeypatch):
    """How many chunks of windows have gone through CLIP's vision tower."""
    counted, trunk = [], ClipTower.trunk
    monkeypatch.setattr(ClipTower, "trunk", lambda *given, **more: counted.append(1) or trunk(*given, **more))
    return counted


def counts(folder):
    return {record.id: record.counts for record in load_records(folder).images}


@pytest.mark.slow
def test_digits_are_those_of_runs_by_themselves_from_features_computed_once(run, passes, capsys):
    files = ("--class_files", "published", "distractors")
    run("vocabularies", *files)
    assert len(passes) == 2  # one chunk of windows an image
    table = capsys.readouterr().out
    assert all(name in table for name in ("published", "distractors", "Classes whose IoU changed most"))
    published, other = (json.loads((FOLDER / name / "results.json").read_text()) for name in files[1:])
    assert (published["protocol"]["class_file"], other["protocol"]["class_file"]) == (
        "voc21.txt",
        "voc21_distractors.txt",
    )
    scored = counts(FOLDER / "published"), counts(FOLDER / "distractors")
    assert scored[0] != scored[1]
    rows = json.loads((FOLDER / "vocabularies.json").read_text())
    (miou,) = [row for row in rows if row["class file"] == "distractors" and row["score"] == "mIoU"]
    assert miou["value"] == other["metrics"]["mIoU"]
    assert miou["- published"] == miou["value"] - published["metrics"]["mIoU"]
    with (FOLDER / "classes.csv").open(newline="") as file:
        boat = list(csv.DictReader(file))[4]
    assert (boat["class"], boat["names in published"], boat["names in distractors"]) == ("boat", "ship", "boat")

    config = yaml.safe_load((FOLDER / "distractors/config.yaml").read_text())
    assert config["data"]["init_args"]["classes"] == "voc21_distractors.txt"
    main(["test", f"--config={FOLDER / 'distractors/config.yaml'}", "--name=alone"])
    alone = Path("lightning_logs/VOC21/alone")
    assert counts(alone) == scored[1]
    results = json.loads((alone / "results.json").read_text())
    assert (results["metrics"], results["protocol"]) == (other["metrics"], other["protocol"])

    # It goes on with the image that one class file lacks, as after a kill.
    (records,) = (FOLDER / "distractors/records").glob("*.jsonl")
    records.write_text("".join(records.read_text().splitlines(keepends=True)[:1]))
    (FOLDER / "distractors/results.json").unlink()
    passes.clear()
    run("vocabularies", *files)
    assert len(passes) == 1
    assert (counts(FOLDER / "published"), counts(FOLDER / "distractors")) == scored
    again = json.loads((FOLDER / "distractors/results.json").read_text())
    assert again["metrics"] == other["metrics"]
