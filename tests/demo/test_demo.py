"""The demo as users meet it, on its first test scenes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.commands.parsing.configs import find_config
from sclip_lightning.demo.benchmark import Demo, write_scenes
from sclip_lightning.demo.scenes import CLASSES, draw_scene
from sclip_lightning.errors import DataError
from sclip_lightning.records import Seams, load_records

pytestmark = pytest.mark.usefixtures("plain_board")

ROOT = Path(__file__).parents[2]
QUIET = ["--data.num_workers=0", "--trainer.accelerator=cpu", "--trainer.devices=1"]
QUIET += ["--trainer.enable_progress_bar=false"]
#: Where scores are the point; ranked panels segment their images a second time.
NO_PANELS = ["--panels.count=0", "--ranked_panels.worst=0", "--ranked_panels.median=0"]


@pytest.mark.slow
def test_the_parts_do_what_they_should(demo_ablation):
    rows = {row[""]: row for row in json.loads((demo_ablation / "ablation.json").read_text())}
    assert list(rows) == [
        "vanilla attention",
        "baseline",
        "+ ResCLIP",
        "+ LoftUp",
        "+ DenseCRF",
        "+ ResCLIP + LoftUp",
        "+ ResCLIP + LoftUp + DenseCRF",
    ]
    baseline, full = rows["baseline"], rows["+ ResCLIP + LoftUp + DenseCRF"]
    assert baseline["mIoU"] > 0.45
    assert rows["vanilla attention"]["mIoU"] < baseline["mIoU"] - 0.1
    for score in ("mIoU", "bF1@0.75pct"):
        assert full[f"{score} low"] > 0
        assert full[f"{score} gain"] == pytest.approx(full[score] - baseline[score])
        assert full[f"{score} low"] <= full[f"{score} gain"] <= full[f"{score} high"]
        assert baseline[f"{score} gain"] == baseline[f"{score} low"] == baseline[f"{score} high"] == 0
    for row in rows.values():
        assert row["seconds per image"] > 0
        assert row["peak memory GiB"] > 0
    text = (demo_ablation / "ablation.md").read_text()
    assert all(name in text for name in rows)


@pytest.mark.slow
def test_seams_of_a_row_add_up(demo_ablation):
    folder = demo_ablation / "baseline"
    images = [record.counts.seams for record in load_records(folder).images]
    seams = json.loads((folder / "results.json").read_text())["seams"]
    sums = [sum(numbers) for numbers in zip(*images, strict=True)]
    assert [seams[name] for name in Seams._fields] == sums
    assert 0 < seams["share"] == sums[1] / sums[0] < 1
    assert seams["ratio"] == pytest.approx(sums[1] / sums[0] / (sums[3] / sums[2]))


def test_every_method_of_the_demo_is_shown_beside_the_others():
    """So the guide's command runs all that is laid over the demo's baseline, and its table has a row of each."""
    section = (ROOT / "docs/guide.md").read_text().split("## The demo")[1].split("\n## ")[0]
    (command,) = re.findall(r"^sclip ablate .*--beside (.*)$", section, re.MULTILINE)
    folder = ROOT / "configs/demo"
    laid_over = [path for path in folder.glob("*.yaml") if "demo/baseline.yaml" in path.read_text()]
    assert sorted(command.split()) == sorted(f"demo/{path.name}" for path in laid_over)
    rows = re.findall(r"^\| ([^|]+) \| [\d.]+ ?[^|]*\|", section.split("--beside")[-1], re.MULTILINE)
    assert len(rows) == 2 + len(laid_over)


def test_resclip_is_the_same_over_the_demo_and_over_its_baseline():
    demo, resclip = (yaml.safe_load(find_config(name).read_text()) for name in ("demo.yaml", "demo/resclip.yaml"))
    given, own = demo["model"]["decoder"]["init_args"], resclip["model"]["decoder"]["init_args"]
    assert own == {name: given[name] for name in ("rcs", "sfr")}


@pytest.mark.slow
def test_a_row_is_a_run_of_its_own(demo_ablation, demo_scenes, tmp_path):
    config = demo_ablation / "loftup/config.yaml"
    small = [f"--output_dir={tmp_path}", *QUIET, *NO_PANELS]
    main(["test", "--config", str(config), "--name=again", *small])
    again = json.loads((tmp_path / "Demo/again/results.json").read_text())
    row = json.loads((demo_ablation / "loftup/results.json").read_text())
    assert again["metrics"] == row["metrics"]
    assert again["protocol"] == row["protocol"]
    overlays = ["--config", "demo.yaml", "--config", "demo/loftup.yaml"]
    main(["test", *overlays, f"--data.root={demo_scenes}", "--data.num_samples=2", *small])
    overlaid = json.loads((tmp_path / "Demo/demo-loftup/results.json").read_text())
    assert overlaid["metrics"] == row["metrics"]


@pytest.mark.slow
def test_ablating_again_only_reports(demo_ablation, demo_scenes, capsys):
    before = (demo_ablation / "ablation.json").read_text()
    arguments = [f"--data.root={demo_scenes}", f"--output_dir={demo_ablation.parent.parent}", *QUIET]
    main(["ablate", "--config", "demo.yaml", "--data.num_samples=2", *arguments])
    assert (demo_ablation / "ablation.json").read_text() == before
    assert "baseline" in capsys.readouterr().out


def test_nothing_to_ablate(demo_scenes, tmp_path, capsys):
    arguments = [f"--data.root={demo_scenes}", f"--output_dir={tmp_path}", *QUIET]
    with pytest.raises(SystemExit) as stop:
        main(["ablate", "--config", "demo.yaml", "--config", "demo/baseline.yaml", *arguments])
    assert stop.value.code == 1
    assert "nothing to ablate" in capsys.readouterr().err


def test_scenes_are_written_in_the_layout_of_voc(demo_scenes):
    ids = (demo_scenes / "ImageSets/Segmentation/val.txt").read_text().split()
    assert len(ids) == 3
    scene = draw_scene("test", 1)
    mask = Image.open(demo_scenes / f"SegmentationClass/{ids[1]}.png")
    assert mask.mode == "P"
    np.testing.assert_array_equal(np.array(mask), scene.labels)
    image = np.array(Image.open(demo_scenes / f"JPEGImages/{ids[1]}.jpg")).astype(int)
    assert np.abs(image - scene.image).mean() < 6  # JPEG


def test_scenes_are_drawn_at_first_use_into_the_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("sclip_lightning.demo.benchmark.IMAGES", 2)
    monkeypatch.setenv("SCLIP_CACHE", str(tmp_path / "cache"))
    demo = Demo(num_workers=0)
    demo.prepare()
    demo.setup()
    (folder,) = (tmp_path / "cache").iterdir()
    drawn = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    demo.setup()
    assert drawn == {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    sample = demo.dataset[0]
    assert sample["image"].shape[0] == 3
    assert min(sample["image"].shape[1:]) == 128
    assert set(sample["mask"].unique().tolist()) <= {*range(len(CLASSES)), 255}


def test_scenes_never_mix_with_other_files(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").write_text("")
    with pytest.raises(DataError, match="Empty that folder"):
        write_scenes(tmp_path / "mine", "test", 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "photo.jpg"]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data\.root"):
        write_scenes(tmp_path / "file/scenes", "test", 1)
