"""``sclip board``: many runs in one table."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from sclip_lightning.cli import main
from sclip_lightning.errors import ConfigError
from sclip_lightning.records import load_records
from sclip_lightning.reports.board import MEASURED, PUBLISHED, board, csv_board, markdown_board
from sclip_lightning.reports.html.board import html_board
from sclip_lightning.reports.published import Figure
from sclip_lightning.reports.results import Results, results_of
from tests.records.synthetic import make_run


def results(benchmark="VOC21", score=0.5, images="10 of 10", published=(), **protocol):
    metrics = {"mIoU": score, "aAcc": 0.75}
    entries = {"images": images, "crop": 224, "decoder": "LastBlock", **protocol}
    return Results(benchmark, metrics, [], entries, intervals={"mIoU": [0.4, 0.6]}, published=list(published))


def figure(verdict="reproduces", value=59.1):
    return Figure("SCLIP", "README", "there", "mIoU", value, 1, measured=50.0, verdict=verdict, reasons=["crop 336"])


def on_board(runs, metrics=("mIoU",)):
    return board(runs, {folder: Path(folder).name for folder in runs}, metrics)


def cells(made):
    """By row, what stands in each column."""
    heads = made.heads()
    return {
        (name, kind): {head: cell.text for head, cell in zip(heads, line, strict=True) if cell is not None}
        for name, kind, line in made.lines()
    }


def test_a_method_has_a_row_and_a_benchmark_a_column():
    made = on_board({"VOC21/a": results(), "VOC20/a": results("VOC20", 0.8), "VOC21/b": results(score=0.25)})
    assert cells(made) == {
        ("a", MEASURED): {"VOC21": "50.00 [40.00, 60.00]", "VOC20": "80.00 [40.00, 60.00]"},
        ("b", MEASURED): {"VOC21": "25.00 [40.00, 60.00]"},
    }


@pytest.mark.parametrize(
    "change",
    [{"crop": 336}, {"images": "5 of 10"}, {"weights_sha256": "1"}, {"precision": "bf16-mixed"}, {"data.year": "2007"}],
    ids=str,
)
def test_runs_under_different_protocols_never_share_a_column(change):
    made = on_board({"a": results(), "b": results(**change), "c": results(decoder="ProxyCLIP")})
    first, second = made.heads()
    assert {row: list(line) for (row, _), line in cells(made).items()} == {"a": [first], "b": [second], "c": [first]}
    (name, value) = next(iter(change.items()))
    assert f"{name} {value}" in made.protocols()["VOC21 (b)"]
    assert "decoder" not in json.dumps(made.protocols())


def test_published_figures_stand_beside_the_run_and_are_marked():
    made = on_board(
        {"VOC21/a": results(published=[figure()]), "VOC20/a": results("VOC20", published=[figure(value=80.0)])}
    )
    assert cells(made)["SCLIP, README", PUBLISHED] == {"VOC21": "59.1", "VOC20": "80.0"}
    assert "Published figures were not measured with this package." in made.remarks
    assert "| SCLIP, README | published | 59.1 | 80.0 |" in markdown_board(made)


def test_a_figure_of_another_experiment_stands_in_no_column():
    made = on_board({"a": results(published=[figure("not comparable")])})
    assert list(cells(made)) == [("a", MEASURED)]
    assert any("mIoU 59.1 of SCLIP, README on VOC21" in remark and "crop 336" in remark for remark in made.remarks)


def test_two_runs_of_one_name_have_a_row_each():
    made = on_board({"x/a": results(), "y/a": results(score=0.25)})
    assert list(cells(made)) == [("a", MEASURED), ("y/a", MEASURED)]


def test_several_scores_and_a_score_that_one_run_lacks():
    one = results()
    one.metrics["bF1@3px"] = None
    made = on_board({"a": one, "b": results("VOC20")}, ["mIoU", "aAcc", "bF1@3px"])
    assert made.heads() == ["VOC21 mIoU", "VOC21 aAcc", "VOC20 mIoU", "VOC20 aAcc"]
    assert any("Without intervals" in remark for remark in made.remarks)  # of aAcc
    with pytest.raises(ConfigError, match="--metric mIOU is none of the scores"):
        on_board({"a": one}, ["mIOU"])


def test_csv_has_all_digits_and_the_whole_protocol():
    made = on_board({"a": results(score=1 / 3, published=[figure()]), "=b": results(crop=336)})
    first, published, other = csv.DictReader(io.StringIO(csv_board(made)))
    assert (float(first["score"]), first["low"], first["protocol.crop"]) == (1 / 3, "0.4", "224")
    assert (published["kind"], published["score"], published["low"], published["source"]) == (
        "published",
        "0.591",
        "",
        "there",
    )
    assert (other["run"], other["protocol.crop"]) == ("'=b", "336")


def test_names_become_no_markup():
    made = on_board({"<b>|x": results(published=[replace(figure(), title="<i>")])})
    page = html_board(made)
    assert "<b>|x" not in page
    assert "&lt;b&gt;|x" in page
    assert "<i>59.1</i>" in page  # ours
    assert "&lt;b&gt;\\|x" in markdown_board(made)


def write(folder, crop=224):
    run = make_run(folder, images=4, protocol={"crop": crop})
    results_of(run, load_records(folder)).save(folder)


def test_the_command_finds_runs_below_folders(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, crop in (("Fake/a", 224), ("Fake/b", 336), ("other/a", 224)):
        write(tmp_path / name, crop)
    main(["board", "Fake", "other/a"])
    out = capsys.readouterr().out
    assert "| run |  | Fake (a) | Fake (b) |" in out
    assert "Scores are mIoU" in out
    assert all(f"| {name} | measured |" in out for name in ("Fake/a", "b", "other/a"))
    main(["board", "Fake", "--format", "html", "--output", "board.html"])
    assert "Written to board.html" in capsys.readouterr().out
    assert Path("board.html").read_text().startswith("<!doctype html>")


def test_a_file_of_version_0_1_gets_its_intervals_from_the_records(tmp_path, capsys):
    write(tmp_path / "a")
    main(["board", str(tmp_path / "a")])
    now = capsys.readouterr().out
    content = json.loads((tmp_path / "a/results.json").read_text())
    old = {name: content[name] for name in content if name not in ("format", "version", "intervals", "published")}
    (tmp_path / "a/results.json").write_text(json.dumps(old))
    main(["board", str(tmp_path / "a")])
    assert capsys.readouterr().out == now
    (tmp_path / "a/run.json").unlink()
    main(["board", str(tmp_path / "a")])
    assert "Without intervals, since their results have none" in capsys.readouterr().out


@pytest.mark.parametrize(("make", "state"), [(True, "has no run in it"), (False, "is not there")])
def test_a_folder_without_runs_is_an_error(tmp_path, capsys, make, state):
    if make:
        (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as ending:
        main(["board", str(tmp_path / "empty")])
    assert ending.value.code == 1
    assert state in capsys.readouterr().err
