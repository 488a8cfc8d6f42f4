"""What is said where a result would mislead."""

import pytest

from sclip_lightning.cli import main
from sclip_lightning.engine.wiring import notes_on_weights
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.reports.results import Results
from tests.fake_data import draw_labels, write_image, write_voc

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos/one.jpg", draw_labels((48, 64), 21, seed=0))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def predict(photos, *arguments):
    demo = ["--model.architecture=demo", "--model.weights=demo", "--model.templates=none", "--device=cpu"]
    main(
        [
            "predict",
            "--images",
            str(photos),
            *demo,
            "--short_side=64",
            "--model.crop=64",
            "--model.stride=64",
            *arguments,
        ]
    )


@pytest.mark.parametrize(
    ("weights", "benchmark", "said"), [("demo", "Demo", False), ("demo", "VOC21", True), ("openai", "VOC21", False)]
)
def test_the_demos_weights_on_benchmarks(weights, benchmark, said):
    architecture = "demo" if weights == "demo" else "ViT-B-16-quickgelu"
    notes = notes_on_weights(SegmentorOptions(architecture=architecture, weights=weights), benchmark)
    assert any("drawn scenes" in note for note in notes) == said


def test_the_demos_weights_on_photographs_and_files_that_are_passed_over(photos, capsys, monkeypatch):
    monkeypatch.setattr("sclip_lightning.data.reading.images.reads_heif", lambda: False)
    (photos / "IMG_1.HEIC").write_bytes(b"whatever")
    predict(photos, "--classes=grass, sky")
    error = capsys.readouterr().err
    assert "have seen drawn scenes only" in error
    assert "1 HEIC file is passed over" in error
    assert "IMG_1.HEIC" in error
    assert "pip install pillow-heif" in error


def test_classes_that_cannot_be_told_apart_are_named(photos, capsys):
    long = "very " * 90  # CLIP reads no further than 77 tokens
    predict(photos, f"--classes={long}green, {long}blue, sky", "--output_dir=a")
    error = capsys.readouterr().err
    assert "the same to this CLIP" in error
    assert "green and very" in error
    assert "sky" not in error.partition("same to this CLIP")[2]
    predict(photos, "--classes=grass, sky", "--output_dir=b")
    assert "same to this CLIP" not in capsys.readouterr().err


def test_a_threshold_after_lposs_plus_is_said(photos, capsys):
    plus = ["--classes=grass, sky", "--background", "--model.refiners+=LPOSSPlus"]
    predict(photos, *plus, "--output_dir=a")
    assert "Note: --model.prob_threshold is 0.1, but the logits of LPOSSPlus are no" in capsys.readouterr().err
    predict(photos, *plus, "--model.prob_threshold=0", "--output_dir=b")
    assert "no cosines" not in capsys.readouterr().err


def test_a_test_names_classes_that_cannot_be_told_apart(tiny_clip, tmp_path, capsys, monkeypatch):
    """Before its first image, and with its results."""
    monkeypatch.chdir(tmp_path)
    root = write_voc(tmp_path, 1)
    names = [f"name {i}" for i in range(21)]
    names[4], names[7] = ("very " * 90 + colour for colour in ("green", "blue"))
    (tmp_path / "names.txt").write_text("\n".join(names))
    small = [f"--data.root={root}", "--data.short_side=64", "--data.num_workers=0", f"--model.architecture={tiny_clip}"]
    alone = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.enable_progress_bar=false"]
    main(["test", "--data=VOC21", *small, *alone, "--data.classes=names.txt", "--name=a", "--panels.count=0"])
    out = capsys.readouterr().out
    before, _, after = out.partition("mIoU")
    warning = "which of two classes a pixel gets is chance: very"
    assert before.count(warning) == after.count(warning) == 1
    assert "name 3" not in out
    (note,) = [n for n in Results.load(tmp_path / "lightning_logs/VOC21/a").notes if warning in n]
    assert names[4] in note


def test_a_file_that_stops_a_test_comes_with_the_way_around_it(tiny_clip, tmp_path, capsys, monkeypatch):
    """Found in the header before the first image, or only when it is decoded."""
    monkeypatch.chdir(tmp_path)
    root = write_voc(tmp_path, 2)
    (image, *_) = sorted((root / "JPEGImages").iterdir())
    content = image.read_bytes()
    small = [f"--data.root={root}", "--data.short_side=64", "--data.num_workers=0", f"--model.architecture={tiny_clip}"]
    for kept in (10, len(content) - 20):
        image.write_bytes(content[:kept])
        with pytest.raises(SystemExit):
            main(["test", "--data=VOC21", *small, "--trainer.accelerator=cpu", f"--name=a{kept}"])
        error = capsys.readouterr().err
        assert f"{image.name} cannot be read as an image" in error
        assert error.count("--data.on_error skip") == 1
