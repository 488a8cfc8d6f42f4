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
def test_digits_are_those_of_runs_by_themselves_and_features_are_computed_once(run, passes, capsys):
    run("vocabularies")
    assert len(passes) == 2  # one chunk of windows an image
    table = capsys.readouterr().out
    assert all(name in table for name in ("published", "plain", "distractors", "Classes whose IoU changed most"))
    names = ("published", "plain", "distractors")
    results = {name: json.loads((FOLDER / name / "results.json").read_text()) for name in names}
    assert [one["protocol"]["class_file"] for one in results.values()] == [
        "voc21.txt",
        "voc21_plain.txt",
        "voc21_distractors.txt",
    ]
    assert counts(FOLDER / "plain") != counts(FOLDER / "published")
    config = yaml.safe_load((FOLDER / "distractors/config.yaml").read_text())
    assert config["data"]["init_args"]["classes"] == "voc21_distractors.txt"
    main(["test", f"--config={FOLDER / 'distractors/config.yaml'}", "--name=alone"])
    assert counts(Path("lightning_logs/VOC21/alone")) == counts(FOLDER / "distractors")
    alone = json.loads(Path("lightning_logs/VOC21/alone/results.json").read_text())
    assert alone["metrics"] == results["distractors"]["metrics"]
    assert alone["protocol"] == results["distractors"]["protocol"]
    rows = json.loads((FOLDER / "vocabularies.json").read_text())
    (miou,) = [row for row in rows if row["class file"] == "distractors" and row["score"] == "mIoU"]
    assert miou["value"] == alone["metrics"]["mIoU"]
    assert miou["- published"] == miou["value"] - results["published"]["metrics"]["mIoU"]
    with (FOLDER / "classes.csv").open(newline="") as file:
        boat = list(csv.DictReader(file))[4]
    assert (boat["class"], boat["names in published"], boat["names in plain"]) == ("boat", "ship", "boat")


@pytest.mark.slow
def test_it_goes_on_with_the_images_that_one_class_file_lacks(run, passes, capsys):
    files = ("--class_files", "published", "plain")
    run("vocabularies", *files)
    whole = counts(FOLDER / "plain"), counts(FOLDER / "published")
    (records,) = (FOLDER / "plain/records").glob("*.jsonl")
    records.write_text("".join(records.read_text().splitlines(keepends=True)[:1]))  # as after a kill
    (FOLDER / "plain/results.json").unlink()
    passes.clear()
    run("vocabularies", *files)
    assert len(passes) == 1
    assert (counts(FOLDER / "plain"), counts(FOLDER / "published")) == whole
    passes.clear()
    run("vocabularies", *files)  # nothing is left to do
    assert not passes
    assert "Written to" in capsys.readouterr().out
