"""What ``sclip test`` refuses before anything is computed, and what it leaves alone."""

import json
from pathlib import Path

import pytest

from sclip_lightning.cli import main
from sclip_lightning.records import load_records
from sclip_lightning.records.run_folder import tidy
from tests.fake_data import write_voc
from tests.records.synthetic import make_run
from tests.records.test_run_folder import ON_UNIX, another_process_in

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]

FOLDER = Path("lightning_logs/VOC21/a")


@pytest.fixture
def options(tiny_clip, tmp_path, monkeypatch):
    write_voc(tmp_path / "data", 2)
    monkeypatch.chdir(tmp_path)
    return [
        *("test", "--config=baseline.yaml", "--data=VOC21", f"--data.root={tmp_path / 'data'}", "--name=a"),
        *("--data.short_side=64", "--data.num_workers=0", f"--model.architecture={tiny_clip}"),
        *("--model.templates=none", "--model.crop=48", "--model.stride=32", "--trainer.accelerator=cpu"),
        *("--trainer.enable_progress_bar=false", "--panels.count=0"),
        *("--ranked_panels.worst=0", "--ranked_panels.median=0"),
    ]


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as ending:
        main(list(arguments))
    assert ending.value.code == 1
    return capsys.readouterr().err


@ON_UNIX
def test_overwrite_does_not_delete_a_run_under_way(options, capsys):
    make_run(FOLDER, images=3)
    before = {path: path.read_bytes() for path in FOLDER.rglob("*.json*")}
    with another_process_in(FOLDER):
        assert "Another process" in fails(capsys, *options, "--overwrite")
        assert {path: path.read_bytes() for path in FOLDER.rglob("*.json*")} == before
    main([*options, "--overwrite"])
    assert len(load_records(FOLDER).images) == 2


def test_records_of_an_unknown_run_are_not_continued(options, capsys):
    make_run(FOLDER, images=3)
    (FOLDER / "run.json").unlink()
    assert "holds records but no run.json" in fails(capsys, *options)
    assert len(load_records(FOLDER).images) == 3


def test_a_name_that_leaves_the_folder_of_runs(options, capsys):
    assert "--name is '../../x'" in fails(capsys, *options, "--name=../../x")
    assert not Path("x").exists()


@pytest.mark.parametrize(
    "option",
    [*("--trainer.devices=0", "--trainer.devices=x", "--trainer.devices=-3", "--trainer.accelerator=foo")],
)
def test_a_trainer_that_cannot_be_made(options, capsys, option):
    error = fails(capsys, *options, option)
    name, value = option.split("=")
    assert f"{name} {value}" in error
    assert error.count("\n") == 2  # one sentence, no traceback


def test_a_label_map_of_no_bytes_is_made_again(options):
    main([*options, "--predictions.labels=true"])
    before = json.loads((FOLDER / "results.json").read_text())["metrics"]
    first, second = sorted((FOLDER / "labels").iterdir())
    content = first.read_bytes()
    first.write_bytes(b"")
    main([*options, "--predictions.labels=true"])
    assert first.read_bytes() == content
    assert [record.id for record in load_records(FOLDER, session=1).images] == [first.stem]
    assert json.loads((FOLDER / "results.json").read_text())["metrics"] == before
    assert second.exists()


def test_nothing_half_written_stays_in_a_run_that_went_on(options):
    main(options)
    (FOLDER / ".partial-config-x.yaml").write_text("")
    main(options)
    assert list(FOLDER.rglob(".partial-*")) == []
    tidy(FOLDER)  # and again, with nothing to do
    assert len(load_records(FOLDER).images) == 2
