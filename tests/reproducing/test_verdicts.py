"""Whether a run is the published experiment."""

import pytest

from sclip_lightning.reports.results import Results
from sclip_lightning.reproducing.rows import rows_of
from sclip_lightning.reproducing.verdicts import held_against


def results(images="1449 of 1449", score=0.5963, precision="32-true"):
    return Results("VOC21", {"mIoU": score}, [], {"images": images, "precision": precision}, notes=["A note."])


def held(results, *given):
    (row,) = rows_of("sclip", ["VOC21"], ["readme"])
    (figure,) = held_against(row, results, 1449, given)
    return figure


def test_the_published_experiment():
    found = held(results(), "--data.root", "/data", "--trainer.devices=4", "--data.num_workers", "8", "--overwrite")
    assert (found.verdict, round(found.measured, 2)) == ("reproduces", 59.63)
    assert held(results(score=0.5952)).verdict == "differs"
    assert "A note." in found.reasons


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--model.crop=336"], "--model.crop 336 was given"),
        (["--model.weights", "metaclip_fullcc"], "--model.weights metaclip_fullcc was given"),
        (["--data.classes", "my.txt", "--resume"], "--data.classes my.txt was given"),
        (["--data.short_side=448"], "--data.short_side 448 was given"),
        (["--config", "pamr.yaml"], "--config pamr.yaml was given"),
        (["--protocol=naclip"], "--protocol naclip was given"),
        (["--model.refiners+=PAMR"], "--model.refiners+ PAMR was given"),
    ],
)
def test_what_makes_another_experiment_is_named(given, reason):
    found = held(results(), *given)
    assert found.verdict == "not comparable"
    assert found.reasons[0] == reason


@pytest.mark.parametrize("images", ["100 of 1449", "1448 of 1449", "9 of 9"])
def test_a_subset_is_another_experiment(images):
    found = held(results(images))
    assert found.verdict == "not comparable"
    assert found.reasons[0] == f"{images.split()[0]} images were scored, of 1449"


def test_a_file_of_weights_may_be_the_published_one(tmp_path):
    file = tmp_path / "clip.pt"
    file.touch()
    found = held(results(), f"--model.weights={file}", "--model.decoder.weights", str(file))
    assert found.verdict == "reproduces"
    assert f"weights are {file} (--model.decoder.weights)" in " ".join(found.reasons)


def test_precision_and_deviations_are_among_the_reasons():
    (row,) = rows_of("resclip", ["VOC21"], ["NACLIP"])
    (figure,) = held_against(row, results(precision="bf16-mixed", score=0.4), 1449)
    assert "networks ran in bf16-mixed here" in figure.reasons[0]
    assert sum(reason.startswith("done differently here: ") for reason in figure.reasons) == len(row.reasons) > 0
