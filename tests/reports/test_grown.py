"""Data sets that grew between two sessions: images come before those that have been scored."""

import json
from pathlib import Path

import pytest

from sclip_lightning.cli import main
from sclip_lightning.records import RecordWriter, load_records
from sclip_lightning.records.confusions import image_miou
from tests.fake_data import write_voc
from tests.records.synthetic import make_record, make_run

pytestmark = pytest.mark.usefixtures("plain_board")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def grow(folder, old, new):
    """A finished run of the images ``old`` that went on with ``new``, which lie in front of them."""
    run = make_run(Path(folder), images=0)
    for session, images in enumerate((old, new)):
        writer = RecordWriter(Path(folder), session, rank=0)
        for index in images:
            writer.add(make_record(index, seed=len(folder)))
        writer.close()
    run.ids[:] = [make_record(index).id for index in sorted([*old, *new])]
    run.save(Path(folder))


def test_positions_are_those_of_the_run(capsys):
    grow("a", [5, 6], [0, 1])
    main(["report", "a", "--per", "image", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    assert [(row["index"], int(row["image"])) for row in rows] == [(0, 0), (1, 1), (2, 5), (3, 6)]


def test_runs_that_grew_differently_are_compared_image_by_image(capsys):
    grow("a", [5, 6], [0, 1])
    grow("bb", [1, 0], [6, 5])
    main(["compare", "a", "bb", "--resamples", "20", "--format", "json"])
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out) if row["kind"] == "image"}
    scores = {
        name: {record.id: image_miou(record.counts.confusion) for record in load_records(Path(name)).images}
        for name in ("a", "bb")
    }
    assert found.keys() <= scores["a"].keys() == scores["bb"].keys()
    assert len(found) == 4
    for id_, row in found.items():
        assert (row["A"], row["B"]) == pytest.approx((scores["a"][id_], scores["bb"][id_]))


@pytest.mark.slow
def test_panels_have_the_scores_of_their_images(tiny_clip, tmp_path):
    """The worst image's file has the name of the image whose record is the worst."""
    voc = write_voc(tmp_path / "data", 4)
    names = (voc / "ImageSets/Segmentation/val.txt").read_text().split()
    options = [
        *("test", "--config=baseline.yaml", "--data=VOC21", f"--data.root={tmp_path / 'data'}", "--name=a"),
        *("--data.short_side=64", "--data.num_workers=0", f"--model.architecture={tiny_clip}"),
        *("--model.templates=none", "--model.crop=48", "--model.stride=32", "--trainer.accelerator=cpu"),
        *("--trainer.enable_progress_bar=false", "--panels.count=0", "--ranked_panels.median=0"),
    ]
    (voc / "ImageSets/Segmentation/val.txt").write_text("".join(f"{name}\n" for name in names[2:]))
    main(options)
    (voc / "ImageSets/Segmentation/val.txt").write_text("".join(f"{name}\n" for name in names))
    main([*options, "--ranked_panels.worst=4"])
    folder = Path("lightning_logs/VOC21/a")
    scores = {record.id: image_miou(record.counts.confusion) for record in load_records(folder).images}
    order = sorted(scores, key=lambda id_: scores[id_])
    files = sorted(path.name for path in (folder / "ranked_panels").iterdir())
    assert files == [f"worst-{number}_{id_}.png" for number, id_ in enumerate(order, 1)]
