"""``sclip report`` and ``sclip compare`` as a user types them, on made-up runs."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sclip_lightning.cli import main
from sclip_lightning.records import load_records
from sclip_lightning.reports.results import results_of
from tests.records.synthetic import make_run

ROOT = Path(__file__).parents[2]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def finish(name, **options):
    run = make_run(Path(name), **options)
    results = results_of(run, load_records(Path(name)))
    results.save(Path(name))
    return results


def fails(capsys, *arguments, code=1):
    with pytest.raises(SystemExit) as ending:
        main(list(arguments))
    assert ending.value.code == code
    return capsys.readouterr().err


def test_report(capsys):
    finish("a")
    make_run(Path("b"), recorded=15, protocol={"crop": 336})
    main(["report", "a", "b"])
    table = capsys.readouterr().out
    assert "finished" in table.splitlines()[1]
    assert "unfinished" in table.splitlines()[2]
    assert "15 of 20" in table
    assert "crop: 224 / 336" in table
    assert "b: Unfinished: 5 of 20" in table


def test_formats(capsys):
    expected = finish("a").metrics
    main(["report", "a", "--format", "json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert {name: row[name] for name in expected} == expected
    main(["report", "a", "--format", "csv"])
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {name: float(row[name]) for name in expected} == expected
    main(["report", "a", "--format", "markdown"])
    assert f"| {100 * expected['mIoU']:.2f} % |" in capsys.readouterr().out


def test_report_as_latex(capsys):
    expected = finish("a_b").metrics
    make_run(Path("c"), recorded=15, protocol={"crop": 336})
    main(["report", "a_b", "c", "--format", "latex"])
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.endswith(" \\\\")]
    assert "\\begin{tabular}{llllrrrrrr}" in out
    assert rows[0].startswith("run & benchmark & images & state & mIoU & ")
    assert rows[1].startswith(f"a\\_b & Fake & 20 of 20 & finished & {100 * expected['mIoU']:.2f} & ")
    assert out.count("\\toprule") == out.count("\\midrule") == out.count("\\bottomrule") == 1
    assert "\\footnotesize crop: 224 / 336" in out
    assert "\\footnotesize c: Unfinished: 5 of 20" in out


def test_a_note_of_several_runs_is_said_once(capsys):
    for name in ("x/a", "x/b", "x/c"):
        make_run(Path(name), notes=["For all."] + ["For two."] * (name != "x/a"), protocol={"crop": name == "x/a"})
    main(["report", "x/a", "x/b", "x/c"])
    out = capsys.readouterr().out
    assert out.count("For all.") == out.count("For two.") == 1
    assert "All 3 runs: For all." in out
    assert "b, c: For two." in out
    assert "crop: True (a); False (b, c)" in out


def test_rows_of_classes_and_images(capsys):
    results = finish("a")
    main(["report", "a", "--per", "class", "--format", "json"])
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(results.classes).replace("NaN", "null"))
    main(["report", "a", "--per", "image", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in rows] == [f"{i:012d}" for i in range(20)]
    assert all(0 <= row["mIoU"] <= 1 for row in rows)


def test_report_of_no_run(capsys):
    assert "does not exist" in fails(capsys, "report", "nowhere")
    make_run(Path("logs/VOC21/a"))
    error = fails(capsys, "report", "logs")
    assert "holds no run" in error
    assert "logs/VOC21/a" in error
    Path("file").write_text("")
    assert "is no folder" in fails(capsys, "report", "file")
    Path("logs/VOC21/a/results.json").write_text("{")
    assert "cannot be read" in fails(capsys, "report", "logs/VOC21/a")
    assert "RUN" in fails(capsys, "report", code=2)


def test_report_before_the_first_image(capsys):
    make_run(Path("a"), recorded=0)
    main(["report", "a"])
    assert "0 of 20" in capsys.readouterr().out


def test_compare(capsys):
    make_run(Path("a"))
    make_run(Path("b"), seed=1, protocol={"crop": 336})
    main(["compare", "a", "b", "--show_images", "3", "--resamples", "50", "--metric", "bF1@3px"])
    table = capsys.readouterr().out
    assert "Scores over 20 images" in table
    assert "Images whose bF1@3px changed most" in table
    assert "crop: 224 / 336" in table
    main(["compare", "a", "b", "--resamples", "50", "--show_images", "3", "--show_classes", "2", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in rows] == ["score"] * 6 + ["class"] * 2 + ["image"] * 3
    assert all(row["from"] <= row["to"] for row in rows[:6])


def test_compare_names_its_runs_and_gives_points(capsys):
    make_run(Path("logs/a"))
    make_run(Path("logs/b"), seed=1)
    arguments = ["compare", "logs/a", "logs/b", "--resamples", "10", "--show_images", "1"]
    main([*arguments, "--format", "json"])
    row = json.loads(capsys.readouterr().out)[0]
    assert (row["run A"], row["run B"]) == ("logs/a", "logs/b")
    main(arguments)
    out = capsys.readouterr().out
    assert out.startswith("A is logs/a, B is logs/b; differences are B - A, in percentage points.")
    head, first = (line.split("  ") for line in out.splitlines()[4:6])
    assert [cell.strip() for cell in head if cell.strip()] == ["score", "A: a", "B: b", "B - A", "from", "to"]
    assert f"{100 * row['A']:.2f} %" in " ".join(first)
    assert first[-3].strip() == f"{100 * row['B - A']:+.2f}"
    main([*arguments, "--format", "latex"])
    assert f" & {100 * row['A']:.2f} & {100 * row['B']:.2f} & " in capsys.readouterr().out


def test_compare_says_how_to_get_label_maps(capsys):
    make_run(Path("a"))
    make_run(Path("b"), seed=1)
    main(["compare", "a", "b", "--resamples", "10", "--show_images", "1"])
    assert "which a and b have not: sclip test with --predictions.labels true" in capsys.readouterr().out
    for run in "ab":
        (Path(run) / "labels").mkdir()
        for index in range(20):
            (Path(run) / f"labels/{index:012d}.png").touch()
    main(["compare", "a", "b", "--resamples", "10", "--show_images", "1"])
    assert "add --panels FOLDER" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    assert "--predictions.labels true" in " ".join(capsys.readouterr().out.split())


def test_compare_what_both_have(capsys):
    make_run(Path("a"))
    make_run(Path("b"), seed=1, recorded=15)
    main(["compare", "a", "b", "--resamples", "10"])
    assert "on the 15 images that both runs have scored: 5 of a and 0 of b" in capsys.readouterr().out


def test_compare_what_cannot_be_compared(capsys):
    make_run(Path("a"))
    make_run(Path("b"), benchmark="Other")
    make_run(Path("c"), recorded=0)
    make_run(Path("d"), seed=1)
    assert "run of Fake" in fails(capsys, "compare", "a", "b")
    assert "none of them are the same" in fails(capsys, "compare", "a", "c")
    assert "does not exist" in fails(capsys, "compare", "a", "nowhere")
    assert "--metric mIuO" in fails(capsys, "compare", "a", "d", "--metric", "mIuO")
    assert "--show_images is -1" in fails(capsys, "compare", "a", "d", "--show_images=-1")
    assert "--predictions.labels true" in fails(capsys, "compare", "a", "d", "--panels", "out")
    assert "required: B" in fails(capsys, "compare", "a", code=2)


def measure(*arguments):
    """CPU seconds and peak memory in MiB of a command in a process of its own, which must not import torch."""
    code = (
        "import resource, sys; from sclip_lightning.cli import main; main(sys.argv[1:]);"
        "assert not {'torch', 'lightning', 'jsonargparse'} & set(sys.modules);"
        "usage = resource.getrusage(resource.RUSAGE_SELF);"
        # Not ru_maxrss, which counts the process that started this one, too.
        "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1];"
        "print(usage.ru_utime + usage.ru_stime, int(peak) / 1024, file=sys.stderr)"
    )
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    seconds, memory = map(float, ended.stderr.split())
    return seconds, memory


@ON_LINUX
def test_reading_is_light():
    """CPU time, since the clock of a busy machine says nothing: 0.2 s where this was written."""
    finish("a")
    assert measure("report", "a")[0] < 1


@ON_LINUX
@pytest.mark.slow
def test_thousands_of_images():
    """As many records as COCO-Stuff has images: 1.4 s of CPU and 61 MiB where this was written."""
    large = {"images": 5000, "num_classes": 171, "pairs": 200, "different": 100}
    make_run(Path("a"), **large)
    seconds, memory = measure("report", "a")
    assert seconds < 5
    assert memory < 500
    make_run(Path("b"), **large, seed=1)
    seconds, memory = measure("compare", "a", "b")
    assert seconds < 30
    assert memory < 500
