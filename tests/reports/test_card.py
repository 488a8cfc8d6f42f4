"""``sclip card``: one run for people and for the Hugging Face Hub."""

from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from sclip_lightning.cli import main
from sclip_lightning.records import load_records
from sclip_lightning.reports.card import card
from sclip_lightning.reports.published import Figure, judged
from sclip_lightning.reports.results import results_of
from tests.records.synthetic import make_run


@pytest.fixture
def results(tmp_path):
    run = make_run(tmp_path / "run", images=4, protocol={"crop": 224, "decoder": "LastBlock"}, notes=["Mind <this>."])
    return results_of(run, load_records(tmp_path / "run"))


def test_the_hub_s_own_library_reads_the_scores(results):
    results.metrics["mF1"] = None
    (name, found) = model_index_to_eval_results(ModelCard(card(results, "my run")).data.to_dict()["model-index"])
    assert name == "my run"
    assert {one.metric_name: one.metric_value for one in found} == {
        f"{metric} (%)": round(100 * score, 2) for metric, score in results.metrics.items() if score is not None
    }
    first = found[0]
    assert (first.task_type, first.dataset_name, first.metric_type) == ("image-segmentation", "Fake", "mean_iou")
    assert first.dataset_args["crop"] == 224
    assert "decoder" not in first.dataset_args
    assert first.metric_args["interval_95"] == [round(100 * bound, 2) for bound in results.intervals["mIoU"]]


def test_people_read_scores_protocol_notes_and_classes(results):
    text = card(results, "run")
    low, high = results.intervals["mIoU"]
    assert f"| mIoU | {100 * results.metrics['mIoU']:.2f} % | [{100 * low:.2f}, {100 * high:.2f}] |" in text
    for expected in ("# run on Fake", "| decoder | LastBlock |", "- Mind &lt;this&gt;.", "| 20 | class 20 |"):
        assert expected in text


def test_published_figures_stand_beside_the_scores(results):
    figure = Figure("SCLIP", "README", "the README", "mIoU", 59.63, 2, weights="OpenAI's")
    one = judged(figure, 0.59, "32-true", reasons=["other maps"])
    text = card(replace(results, published=[one]), "run")
    assert "| SCLIP, README | mIoU | 59.63 | 59.00 | -0.63 | 0.105 | differs |" in text
    assert "- README: the README; OpenAI's" in text
    assert "- other maps" in text


def test_names_are_data_and_not_yaml(results):
    name = "a: b\n- c # d"
    head = yaml.safe_load(card(results, name).split("---\n")[1])
    assert head["model-index"][0]["name"] == name


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as ending:
        main(["card", *map(str, arguments)])
    assert ending.value.code == 1
    return capsys.readouterr().err


def test_the_command(results, tmp_path, capsys):
    folder = tmp_path / "run"
    assert "is not finished (4 of 4 images)" in fails(capsys, folder)
    results.save(folder)
    main(["card", str(folder)])
    printed = capsys.readouterr().out
    assert printed == card(results, "run")
    main(["card", str(folder), "--output", str(tmp_path / "card.md")])
    assert (tmp_path / "card.md").read_text() == printed
    assert "is there already" in fails(capsys, folder, "--output", tmp_path / "card.md")
    assert "does not exist" in fails(capsys, tmp_path / "none")
