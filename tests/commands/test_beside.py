"""``sclip ablate --beside``: whole configurations as rows of an ablation."""

import json
from pathlib import Path

import pytest
import yaml

from sclip_lightning.cli import main
from tests.test_docs import QUIET, on_demo

pytestmark = pytest.mark.usefixtures("plain_board")

DECODER = """\
model:
  decoder:
    class_path: SCCLIP
    init_args: {similarity_block: 4, post_block: 2, second_pass: [2, 5], class_share: 0.3}
"""


@pytest.fixture
def ablate(demo_scenes, tmp_path, monkeypatch):
    """Runs an ablation of the demo's baseline and whatever is given beside it; returns its folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scclip.yaml").write_text(DECODER)
    (tmp_path / "some_share.yaml").write_text("model: {prior: {class_path: ClassTokenShare}}\n")

    def run(*beside, configs=("demo.yaml", "demo/baseline.yaml")):
        given = [f"--config={name}" for name in configs]
        main(["ablate", *given, "--beside", *beside, *on_demo(demo_scenes), "--panels.count=0"])
        return next((tmp_path / "lightning_logs/Demo").glob("*demo-baseline-ablation"))

    return run


@pytest.mark.slow
def test_each_makes_a_row_that_is_a_run_of_its_own(ablate, demo_scenes, capsys, monkeypatch):
    asked = iter([True])  # which precision fits is asked once, for all rows
    monkeypatch.setattr("sclip_lightning.model.devices.computes_bfloat16", lambda device: next(asked))
    Path("auto.yaml").write_text("trainer: {precision: auto}\n")
    folder = ablate("scclip.yaml", "some_share.yaml", configs=("auto.yaml", "demo.yaml", "demo/baseline.yaml"))
    rows = {row[""]: row for row in json.loads((folder / "ablation.json").read_text())}
    assert list(rows) == ["vanilla attention", "baseline", "SC-CLIP", "some share"]
    results = [json.loads(path.read_text()) for path in folder.glob("*/results.json")]
    assert [one["protocol"]["precision"] for one in results] == ["bf16-mixed"] * 4
    assert rows["SC-CLIP"]["mIoU"] != rows["baseline"]["mIoU"] != rows["some share"]["mIoU"]
    config = yaml.safe_load((folder / "scclip/config.yaml").read_text())
    assert "beside" not in config
    assert config["trainer"]["precision"] == "bf16-mixed"
    assert config["model"]["decoder"]["class_path"].endswith("SCCLIP")
    main(["test", f"--config={folder / 'scclip/config.yaml'}", "--name=again", *QUIET])
    again = json.loads((folder.parent / "again/results.json").read_text())
    assert again["metrics"]["mIoU"] == rows["SC-CLIP"]["mIoU"]
    assert again["protocol"] == json.loads((folder / "scclip/results.json").read_text())["protocol"]


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (["nowhere.yaml"], "There is no configuration 'nowhere.yaml'"),
        (["demo/baseline.yaml"], "the ablation has a row baseline already"),
        (["scclip.yaml", "scclip.yaml"], "the ablation has a row scclip already"),
    ],
)
def test_what_cannot_be_a_row_is_refused(ablate, beside, message, capsys):
    with pytest.raises(SystemExit):
        ablate(*beside)
    assert message in capsys.readouterr().err
