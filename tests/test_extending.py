"""The examples of docs/extending.md, run as they stand there: its files in a folder, its commands where that lies."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.cli import main
from tests.fake_data import draw_labels, write_all, write_image
from tests.test_docs import NO_PICTURES, QUIET, commands_of

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]

PAGE = Path(__file__).parent.parent / "docs/extending.md"
FILES = dict(re.findall(r"```python\n# (own/\w+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL))
COMMANDS = list(commands_of(PAGE))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The benchmarks, and the data set of the example."""
    root = tmp_path_factory.mktemp("data")
    write_all(root, 1)
    for folder in ("photos", "truth"):
        (root / "villages" / folder).mkdir(parents=True)
    for name in ("a", "b"):
        labels = draw_labels((48, 64), 3, seed=0)
        write_image(root / f"villages/photos/{name}.jpg", labels)
        stored = (labels + 1) * 10
        stored[:2] = 0
        Image.fromarray(stored.astype(np.uint8)).save(root / f"villages/truth/{name}.png")
    return root


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with the page's files in it, from which Python imports; nothing is left of them afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos/a.jpg", draw_labels((48, 64), 21, seed=0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "own"]:
        del sys.modules[name]


def test_every_example_has_a_command():
    assert set(FILES) == {"own/attention.py", "own/decoder.py", "own/refiner.py", "own/data.py"}
    for name in FILES:
        module = name.removesuffix(".py").replace("/", ".")
        assert any(module in command for command in COMMANDS), module


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, own, data, tiny_clip, capsys):
    _, name, *arguments = shlex.split(command)
    model = [f"--model.architecture={tiny_clip}", "--model.templates=none", "--model.crop=32", "--model.stride=16"]
    root = [f"--data.root={data / 'villages' if 'Villages' in command else data}"]
    added = {
        "test": ["--data.short_side=32", *model, *root, *QUIET, *NO_PICTURES],
        "predict": ["--short_side=32", *model],
        "check-data": [*root, "--data.num_workers=0"],
    }[name]
    main([name, *arguments, *added])
    printed = capsys.readouterr().out
    if name == "test":
        (results,) = Path("lightning_logs").glob("*/*/results.json")
        protocol = json.dumps(json.loads(results.read_text())["protocol"])
        parts = re.findall(r"own\.(?!data)\w+\.(\w+)", command)
        assert all(part in protocol for part in parts)
        assert "mIoU" in printed
    elif name == "predict":
        assert Path("predictions/overlays/a.png").is_file()
    else:
        assert "Nothing is wrong." in printed
        assert "Villages" in printed


def test_values_are_those_that_the_page_says(own, data, tiny_clip, capsys):
    arguments = ["--config=baseline.yaml", "--data=own.data.Villages", f"--data.root={data / 'villages'}", *QUIET]
    main(["test", *arguments, f"--model.architecture={tiny_clip}", "--model.templates=none"])
    (results,) = Path("lightning_logs/Villages").glob("*/results.json")
    protocol = json.loads(results.read_text())["protocol"]
    expected = {"short_side": 448, "logit_scale": 40.0, "crop": 224, "stride": 112, "prob_threshold": 0.0}
    assert {key: protocol[key] for key in expected} == expected
    assert protocol["class_file"] == "(list)"
    assert "bF1" in capsys.readouterr().out


def test_an_unknown_value_is_found(own, data, tmp_path, capsys):
    for folder in ("photos", "truth"):
        (tmp_path / "bad" / folder).mkdir(parents=True)
    write_image(tmp_path / "bad/photos/a.jpg", draw_labels((48, 64), 3, seed=0))
    Image.fromarray(np.full((48, 64), 40, np.uint8)).save(tmp_path / "bad/truth/a.png")
    with pytest.raises(SystemExit) as ending:
        main(["check-data", "--data=own.data.Villages", f"--data.root={tmp_path / 'bad'}", "--data.num_workers=0"])
    assert ending.value.code == 1
    assert "40" in capsys.readouterr().out


def test_a_part_that_needs_what_the_decoder_lacks_is_refused(own, data, tiny_clip, capsys):
    arguments = ["--model.decoder=own.decoder.EarlierBlock", "--model.refiners+=LPOSS"]
    arguments += ["--model.refiners.network=null", "--data=VOC21", *QUIET]
    with pytest.raises(SystemExit):
        main(["test", *arguments, f"--data.root={data}", f"--model.architecture={tiny_clip}", "--model.templates=none"])
    assert "LPOSS needs the values, which EarlierBlock does not give" in capsys.readouterr().err
