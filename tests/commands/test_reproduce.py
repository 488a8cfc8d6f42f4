"""``sclip reproduce`` to its end on the demo, and what it says before it runs anything."""

from dataclasses import replace

import pytest

from sclip_lightning.cli import main
from sclip_lightning.commands import reproduce
from sclip_lightning.records import load_records
from sclip_lightning.reports.results import Results, results_of
from sclip_lightning.reproducing.rows import rows_of
from tests.fake_data import write_voc
from tests.records.synthetic import make_run
from tests.test_docs import QUIET

pytestmark = pytest.mark.usefixtures("plain_board")


@pytest.fixture
def in_process(monkeypatch):
    """Rows are run in this process: another one takes seconds to import torch."""

    def run(command):
        try:
            main(list(command))
        except SystemExit as ending:
            return ending.code
        return 0

    monkeypatch.setattr(reproduce, "run_sclip", run)


def ends(capsys, *arguments):
    """What a command that fails prints."""
    with pytest.raises(SystemExit) as ending:
        main(["reproduce", *map(str, arguments)])
    found = capsys.readouterr()
    assert ending.value.code == 1
    return found.out, found.err


@pytest.mark.slow
def test_the_demo_to_its_end_and_a_changed_digit(in_process, demo_scenes, tmp_path, capsys, monkeypatch):
    quiet = [*QUIET, "--ranked_panels.worst=0", "--ranked_panels.median=0", "--panels.count=0"]
    arguments = ["demo", "--figures", "first", f"--data.root={demo_scenes}", f"--output_dir={tmp_path}", *quiet]
    main(["reproduce", *arguments])
    out = capsys.readouterr().out
    (row,) = rows_of("demo", titles=["first"])
    assert "1 row, 1 of them ready to run (3 images):" in out
    assert out.count(" reproduces\n") == len(row.figures) == 3

    parcel = tmp_path / "reproduced/Demo/demo-first-scenes"
    assert {path.name for path in parcel.iterdir()} == {
        *("README.md", "config.yaml", "environment.txt", "per_class.csv", "records", "results.json", "run.json"),
    }
    assert sum(path.stat().st_size for path in parcel.rglob("*.*")) < 100_000
    results = Results.load(parcel)
    assert [figure.verdict for figure in results.published] == ["reproduces"] * 3
    assert "torch==" in (parcel / "environment.txt").read_text()
    assert len(load_records(parcel).images) == 3
    main(["board", str(tmp_path / "reproduced")])
    published = f"| The demo, baseline, first 3 scenes | published | {row.figures[0].published_text()} |"
    assert published in capsys.readouterr().out

    monkeypatch.setattr(reproduce, "run_sclip", lambda command: 0)  # the run is there
    for number, figure in enumerate(row.figures):
        changed = replace(figure, value=figure.value + (0.01 if number else -0.01))
        other = replace(row, figures=(*row.figures[:number], changed, *row.figures[number + 1 :]))
        monkeypatch.setattr(reproduce, "rows_of", lambda *_, other=other: [other])
        out, err = ends(capsys, *arguments)
        assert (out.count(" reproduces\n"), out.count(" differs\n")) == (2, 1)
        assert "1 row is not reproduced: demo-first-scenes on Demo" in err


@pytest.fixture
def made_up(monkeypatch):
    """Rows leave runs of random numbers; those on VOC20 fail."""

    def run(command):
        options = dict(argument.split("=", 1) for argument in command if "=" in argument)
        benchmark = command[command.index("--data") + 1]
        if benchmark == "VOC20":
            return 1
        folder = reproduce.run_folder(options["--output_dir"], benchmark, options["--name"])
        made = make_run(folder, images=3, benchmark=benchmark, protocol={"precision": "32-true"})
        (folder / "config.yaml").write_text("{}")
        results_of(made, load_records(folder), {"images per second": 2.0}).save(folder)
        return 0

    monkeypatch.setattr(reproduce, "run_sclip", run)


@pytest.fixture
def voc(tmp_path):
    write_voc(tmp_path / "data", 3)
    return tmp_path / "data"


def test_all_goes_on_after_a_failure(made_up, voc, tmp_path, capsys, monkeypatch):
    rows = [*rows_of("sclip", ["VOC20", "VOC21", "ADE20K"]), *rows_of("maskclip", ["VOC21"])]
    monkeypatch.setattr(reproduce, "every_row", lambda: rows)
    out, err = ends(capsys, "--all", f"--data.root={voc}", f"--output_dir={tmp_path / 'runs'}")
    assert "4 rows, 3 of them ready to run (9 images):" in out
    missing = out.split("Missing:")[1].split("[1/3]")[0]
    assert "ADE20K" in missing
    assert "docs/datasets.md" in missing
    assert "[3/3] maskclip on VOC21: sclip test --method maskclip --data VOC21" in out
    assert "failed: sclip test ended with 1" in out
    assert "About 1 minute to go for 3 images" in out
    assert out.count("not comparable") >= 3  # three images are not VOC
    assert "3 images were scored, of 1449" in out
    assert "2 rows are not reproduced: sclip on ADE20K, sclip on VOC20" in err
    assert sorted(path.parent.name for path in (tmp_path / "runs/reproduced").glob("VOC21/*/run.json")) == [
        *("maskclip", "sclip"),
    ]


def test_what_is_missing_is_said_of_all_rows_before_anything_is_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reproduce, "run_sclip", lambda command: pytest.fail("was run"))
    monkeypatch.setattr("sclip_lightning.commands.parsing.needs.is_offline_mode", lambda: True)
    monkeypatch.setattr("sclip_lightning.towers.fetching._is_cached", lambda *_: False)
    asked = ("corrclip", "sclip", "--data", "VOC21", "--data.root", tmp_path)
    out, err = ends(capsys, *asked)
    for sentence in (
        "CLIP ViT-B-16-quickgelu, metaclip_fullcc: not in the cache, and HF_HUB_OFFLINE is set",
        "vit_base_patch8_224.dino for CorrCLIP: not in the cache",
        "CLIP ViT-B-16-quickgelu, openai: not in the cache",
        "need a segment map with each image",
        "sclip make-regions makes others",
        "docs/datasets.md says where each benchmark's files come from",
    ):
        assert out.count(sentence) == 1, sentence
    assert "for corrclip, sclip on VOC21" in out  # the data
    assert "Nothing was run" in err
    main(["reproduce", *map(str, asked), "--check"])  # which is all that was asked
    assert "2 rows, 0 of them ready to run (0 images):" in capsys.readouterr().out


def test_what_is_fetched_and_maps_that_are_missing_for_some_images(voc, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sclip_lightning.towers.fetching._is_cached", lambda *_: False)
    (tmp_path / "maps").mkdir()
    asked = ["corrclip", "--data", "VOC21", f"--data.root={voc}", f"--data.regions={tmp_path / 'maps'}", "--check"]
    main(["reproduce", *asked])
    out = capsys.readouterr().out
    assert "has no segment map for 3 of 3 images of VOC21" in out
    assert "from https://huggingface.co/timm/vit_base_patch8_224.dino; without a network copy" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nacli",), "Did you mean naclip"),
        (("sclip", "--data.rot=/data"), "There is no option --data.rot. Did you mean --data.root?"),
        (("sclip", "--all"), "Name a method"),
        (("--all", "--figures", "readme"), "name it, or leave --figures out"),
        (("--all", "--data", "Moon"), "No method has figures on Moon"),
    ],
)
def test_mistakes(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(["reproduce", *arguments])
    assert message in capsys.readouterr().err
