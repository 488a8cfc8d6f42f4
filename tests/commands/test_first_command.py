"""What a newcomer's first commands leave behind and say when there are no data yet."""

from pathlib import Path

import pytest

from sclip_lightning.cli import main
from sclip_lightning.commands.parsing.configs import origin_of_data
from tests.fake_data import write_voc
from tests.records.synthetic import make_run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to stand in, without data anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCLIP_DATA_ROOT", raising=False)
    return tmp_path


def fails(capsys, *arguments):
    with pytest.raises(SystemExit):
        main(list(arguments))
    return capsys.readouterr().err.strip().splitlines()


def test_without_data_nothing_is_left_and_three_lines_say_what_to_do(here, capsys):
    lines = fails(capsys, "test", "--config", "phase1.yaml")
    assert len(lines) == 3
    assert lines[0].startswith("error: No folder is given for COCOStuff: --data.root")
    assert "COCOStuff, the default where neither --data nor a configuration names one" in lines[1]
    assert "docs/datasets.md" in lines[2]
    assert "sclip test --config demo.yaml needs none" in lines[2]
    assert list(here.iterdir()) == []


def test_missing_files_leave_nothing_either(here, capsys):
    root = write_voc(here / "data", 3) or here / "data"
    next(Path(root).rglob("*.jpg")).unlink()
    lines = fails(capsys, "test", "--data", "VOC21", "--data.root", str(here / "data"))
    assert "The benchmark is VOC21, as --data says" in lines[-2]
    assert [path.name for path in here.iterdir()] == ["data"]


def test_the_origin_of_the_benchmark(here):
    (here / "one.yaml").write_text("data:\n  class_path: VOC21\n")
    (here / "two.yaml").write_text("data:\n  init_args:\n    root: x\n")
    assert origin_of_data(["--config=one.yaml", "--config=two.yaml"]) == "as the configuration one.yaml says"
    assert origin_of_data(["--config", "one.yaml", "--data=VOC20"]) == "as --data says"
    assert origin_of_data(["--config", "two.yaml", "--data.root", "y"]).startswith("the default")


def test_report_passes_over_folders_without_a_run(here, capsys):
    make_run(Path("good"))
    Path("ghost/records").mkdir(parents=True)
    main(["report", "ghost", "good"])
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()[1:2]] == ["good"]
    assert printed.err == "Note: passed over, since there is no run in ghost.\n"
    assert fails(capsys, "report", "ghost")[0].startswith("error: ghost holds no run")
    assert fails(capsys, "report", "good", "goood")[0].startswith("error: goood does not exist")
