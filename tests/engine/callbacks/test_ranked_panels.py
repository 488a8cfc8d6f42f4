"""Worst and median images of whole runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sclip_lightning.cli import main
from sclip_lightning.engine.callbacks import RankedPanels
from sclip_lightning.errors import ConfigError
from sclip_lightning.records import load_records
from sclip_lightning.records.confusions import image_miou
from tests.fake_data import write_voc

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]

FOLDER = Path("lightning_logs/VOC21/baseline")


@pytest.fixture
def options(tiny_clip, tmp_path, monkeypatch):
    write_voc(tmp_path / "data", 5)
    monkeypatch.chdir(tmp_path)
    return [
        "test",
        *("--config", "baseline.yaml", "--data", "VOC21", f"--data.root={tmp_path / 'data'}"),
        *("--data.short_side=64", "--data.num_workers=0", f"--model.architecture={tiny_clip}"),
        *("--model.templates=none", "--model.crop=48", "--model.stride=32", "--trainer.accelerator=cpu"),
        "--trainer.enable_progress_bar=false",
    ]


def shown(folder):
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return {tag: events.Images(tag)[0] for tag in events.Tags()["images"]}


def ranked():
    scores = {record.id: image_miou(record.counts.confusion) for record in load_records(FOLDER).images}
    return sorted(scores, key=lambda id_: (scores[id_], id_))


def test_worst_and_median(options):
    main(options)
    order = ranked()
    files = {path.name for path in (FOLDER / "ranked_panels").iterdir()}
    assert files == {f"worst-{i + 1}_{order[i]}.png" for i in range(3)} | {f"median-1_{order[2]}.png"}
    assert {f"images/{tag}" for tag in ("worst/1", "worst/2", "worst/3", "median/1", "confusions", "classes")} <= set(
        shown(FOLDER)
    )


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_they_show_what_was_scored(precision, options):
    """The four pictures are those of the same image drawn during the test; a title makes no difference to them."""
    main([*options, "--panels.count=5", f"--trainer.precision={precision}", "--ranked_panels.worst=5"])
    for number, id_ in enumerate(ranked(), 1):
        panel = np.asarray(Image.open(FOLDER / f"panels/{id_}.png"))
        titled = np.asarray(Image.open(FOLDER / f"ranked_panels/worst-{number}_{id_}.png"))
        with Image.open(next(Path("data").rglob(f"{id_}.jpg"))) as image:
            width = 2 * round(320 * image.width / max(image.size))
        height = min(len(panel), len(titled))
        assert len(panel) > 320
        np.testing.assert_array_equal(titled[:height, :width], panel[:height, :width])


def test_nothing_is_counted_twice(options):
    main([*options, "--ranked_panels.worst=0", "--ranked_panels.median=0", "--name=without"])
    main(options)
    runs = [json.loads((FOLDER.parent / name / "results.json").read_text()) for name in ("without", "baseline")]
    assert runs[0]["metrics"] == runs[1]["metrics"]
    assert runs[1]["protocol"]["images"] == "5 of 5"
    assert not (FOLDER.parent / "without/ranked_panels").exists()


def test_a_run_that_grows_keeps_no_outdated_panels(options):
    main([*options, "--data.num_samples=2"])
    main(options)
    order = ranked()
    worst = sorted(path.name for path in (FOLDER / "ranked_panels").glob("worst-*"))
    assert worst == [f"worst-{i + 1}_{order[i]}.png" for i in range(3)]


def test_a_negative_number_is_refused():
    with pytest.raises(ConfigError, match=r"--ranked_panels.worst is -1"):
        RankedPanels(worst=-1)
