"""``sclip report --table methods``: methods by benchmarks, from made-up runs."""

import csv
import io
import json
from pathlib import Path

import pytest

from sclip_lightning.cli import main
from sclip_lightning.errors import ConfigError
from sclip_lightning.records import load_records
from sclip_lightning.reports.methods import EVALUATION, _letters, method_table
from sclip_lightning.reports.results import Results, results_of
from tests.records.synthetic import make_run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def result(benchmark, score, images="20 of 20", **protocol):
    return Results(benchmark, {"mIoU": score}, [], {"images": images, "short_side": 336, **protocol})


def table(*runs, spelled_out=False):
    return method_table(dict(runs), "mIoU", spelled_out)


def test_methods_by_benchmarks(capsys):
    scores = {}
    for number, (method, benchmark) in enumerate([("a", "X"), ("b", "X"), ("a", "Y")]):
        folder = Path(f"logs/{benchmark}/{method}")
        run = make_run(folder, seed=number, benchmark=benchmark, protocol={"steps": method})
        scores[method, benchmark] = results_of(run, load_records(folder)).metrics["mIoU"]
    runs = ["logs/X/a", "logs/X/b", "logs/Y/a/"]
    main(["report", *runs, "--table", "methods", "--format", "json"])
    mean = (scores["a", "X"] + scores["a", "Y"]) / 2
    assert json.loads(capsys.readouterr().out) == [
        {"method": "a", "X": scores["a", "X"], "Y": scores["a", "Y"], "mean": mean},
        {"method": "b", "X": scores["b", "X"], "Y": None, "mean": None},
    ]
    main(["report", *runs, "--table", "methods", "--format", "csv"])
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out)))[1]["Y"] == ""
    main(["report", *runs, "--table", "methods"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["method", "X", "Y", "mean"]
    assert lines[2].split() == ["b", f"{100 * scores['b', 'X']:.2f}", "%", "-", "-"]
    assert lines[4] == "The score is mIoU."
    assert len(lines) == 5  # nothing differs but what the methods are
    main(["report", *runs, "--table", "methods", "--format", "latex", "--metric", "aAcc"])
    out = capsys.readouterr().out
    assert "\\begin{tabular}{lrrr}" in out
    assert "The score is aAcc." in out
    main(["report", *runs, "--table", "methods", "--format", "markdown"])
    assert capsys.readouterr().out.startswith("| method | X | Y | mean |\n| --- | ---: | ---: | ---: |\n")


def test_other_ways_of_evaluation_are_marked():
    runs = [
        ("x/a", result("X", 0.5, steps="none")),
        ("x/b", result("X", 0.6, steps="PAMR")),
        ("x/c", result("X", 0.7, steps="none", short_side=560)),
        ("y/a", result("Y", 0.9)),
    ]
    rows, remarks = table(*runs)
    assert [getattr(row["X"], "mark", None) for row in rows] == ["a", "a", "b"]
    assert not hasattr(rows[0]["Y"], "mark")
    assert rows[0]["mean"] == pytest.approx(0.7)
    assert rows[0]["mean"].mark == "a"
    assert remarks[2:4] == ["a: X with short_side 336", "b: X with short_side 560"]
    rows, _ = table(*runs, spelled_out=True)
    assert [row["X protocol"] for row in rows] == ["short_side 336", "short_side 336", "short_side 560"]
    assert "Y protocol" not in rows[0]


def test_a_run_of_some_images_is_marked_even_alone():
    rows, remarks = table(("a", result("X", 0.5, images="5 of 20")))
    assert rows[0]["X"].mark == "a"
    assert remarks[-1] == "a: X with images 5 of 20"


def test_one_name_for_two_methods_is_said():
    _, remarks = table(
        ("x/a", result("X", 0.5, steps="none", weights_sha256="1")),
        ("y/a", result("Y", 0.6, steps="PAMR", weights_sha256="2")),
    )
    assert remarks[1:] == ["a, steps: none (X); PAMR (Y)", "a, weights_sha256: 1 (X); 2 (Y)"]


def test_two_runs_for_one_cell_are_refused():
    with pytest.raises(ConfigError, match="method a on benchmark X: first/a and second/a"):
        table(("first/a", result("X", 0.5)), ("second/a", result("X", 0.5)))


def test_a_mean_needs_all_benchmarks():
    rows, _ = table(("x/a", result("X", 0.5)), ("y/a", result("Y", None)), ("y/b", result("Y", 0.5)))
    assert [list(row) for row in rows] == [["method", "X", "Y"]] * 2
    rows, _ = table(("x/a", result("X", 0.5)))
    assert list(rows[0]) == ["method", "X"]


def test_what_cannot_be_asked_for(capsys):
    make_run(Path("a"))
    for arguments, words in [
        (("--table", "methods", "--per", "class"), "leave --per out"),
        (("--metric", "mIoU"), "--metric is for --table methods"),
        (("--table", "methods", "--metric", "mIuO"), "--metric mIuO is none of the scores"),
    ]:
        with pytest.raises(SystemExit):
            main(["report", "a", *arguments])
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_every_entry_of_a_protocol_belongs_to_method_or_evaluation(demo_ablation):
    """An entry that is new must be put on one side, or runs that differ in it would not be marked."""
    protocol = Results.load(demo_ablation / "resclip-loftup-densecrf").protocol
    of_the_method = {"decoder", "attention", "residual", "padded", "rcs", "sfr", "steps", "loftup_sha256"}
    only_where_they_take_effect = {"refine_side", "compiled"}  # of large images, and --model.compile
    assert set(protocol) == of_the_method | set(EVALUATION) - only_where_they_take_effect


def test_there_are_letters_for_any_number_of_marks():
    letters = _letters()
    found = [next(letters) for _ in range(26 + 26 * 26 + 1)]
    assert found[:3] + found[25:28] + found[-2:] == ["a", "b", "c", "z", "aa", "ab", "zz", "aaa"]
    assert len(set(found)) == len(found)
