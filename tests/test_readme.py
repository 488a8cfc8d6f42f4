"""What README and docs/guide.md promise."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from sclip_lightning.cli import main
from sclip_lightning.commands.parsing.configs import find_config
from sclip_lightning.commands.parsing.parts import ROOMS
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from sclip_lightning.windows import Decoder, MapStep, SheetStep
from tests.fake_data import draw_labels, write_image
from tests.records.synthetic import make_run
from tests.test_docs import write_maps

pytestmark = pytest.mark.usefixtures("plain_board")

ROOT = Path(__file__).parent.parent
README, GUIDE = (ROOT / "README.md").read_text(), (ROOT / "docs/guide.md").read_text()
BOTH = f"{README}\n{GUIDE}"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The files that the examples name, where they are run."""
    monkeypatch.chdir(tmp_path)
    Path("photos/more").mkdir(parents=True)
    for name in ("photo.jpg", "portrait.jpg", "photos/a.jpg", "photos/more/b.png"):
        write_image(Path(name), draw_labels((48, 64), 21, seed=0))
    write_maps(Path("photos"), Path("region_masks/photos"))
    Path("my_classes.txt").write_text("cat\ngrass, lawn\n")


def run_example(page, call, tiny_clip):
    """Run the page's Python example with a tiny CLIP in the place of the published one; returns its names."""
    (example,) = re.findall("```python\n(.*?)```", page, re.DOTALL)
    runnable = example.replace(f"from_pretrained({call}", f"from_pretrained({tiny_clip!r}, device='cpu'")
    assert runnable != example
    names: dict = {}
    exec(runnable, names)
    return names


@pytest.mark.slow
def test_the_four_lines_of_python_run(tiny_clip, photos):
    names = run_example(README, "", tiny_clip)
    (example,) = re.findall("```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line]) == 4
    assert names["prediction"].labels.shape == (48, 64)
    assert Path("overlay.png").is_file()


@pytest.mark.slow
def test_the_python_example_of_the_guide_runs(tiny_clip, photos):
    names = run_example(GUIDE, '\n    "ViT-B-16-quickgelu", "openai"', tiny_clip)
    assert names["labels"].shape == (48, 64)
    assert names["probabilities"].shape == (4, 48, 64)
    assert Path("overlay.png").is_file()
    assert Path("labels.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("command", [*dict.fromkeys(re.findall("^sclip predict .*", BOTH, re.MULTILINE))])
def test_commands_on_own_images_run(command, tiny_clip, photos):
    torch.save(load_loftup(None, dim=16).state_dict(), "loftup.bin")
    small = [f"--model.architecture={tiny_clip}", "--model.templates=none"]
    small += ["--short_side=64", "--model.crop=48", "--model.stride=32"]
    if "phase1.yaml" in command:
        small.append("--model.upsampler.weights=loftup.bin")
    main([*shlex.split(command)[1:], *small])
    images = 1 + ("portrait.jpg" in command) + ("--recursive" in command)
    assert len(list(Path("predictions/overlays").rglob("*.png"))) == images


def switches():
    """The options in the columns of the tables that say how a part or a script's option is switched on here."""
    places = (
        (GUIDE, "\n## Parts\n", "\n### "),
        (README, "\nParts of any method", "\n## "),
        (README, "\n## Coming from", "\n## "),
    )
    tables = [page.split(heading)[1].split(end)[0] for page, heading, end in places]
    cells = [row.split("|")[2] for table in tables for row in re.findall(r"^\|.*\|$", table, re.MULTILINE)]
    spans = [span for cell in cells for span in re.findall("`(--[^`]+)`", cell)]
    return [span for span in dict.fromkeys(spans) if re.search("[ =]|--save_vis", span)]  # others lack their value


@pytest.mark.slow
@pytest.mark.parametrize("switch", switches())
def test_its_switches_are_options(switch, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["test", *shlex.split(switch), "--print_config"])
    assert ending.value.code == 0
    assert "model:" in capsys.readouterr().out


def test_every_part_has_a_switch():
    named = {word for switch in switches() for word in re.findall(r"\w+", switch)}
    steps = {
        name
        for room in ROOMS
        for name in room.__all__
        if issubclass(getattr(room, name), Decoder | SheetStep | MapStep)
    }
    methods = README.split("<!-- methods in short -->")[1].split("<!-- end -->")[0]
    assert steps - named - set(re.findall(r"\w+", methods)) == set()
    assert {"rcs", "sfr", "ProcrustesAttention"} <= named


def test_other_pages_have_no_such_commands():
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in ("guide.md", "extending.md") or "\nsclip predict" not in page.read_text()


def test_readme_is_short_and_shows_a_result_first():
    assert README.count("\n") <= 170
    assert README.index("docs/images/demo.png") < README.index("\n## ")
    assert README.index("#coming-from-a-research-script") < README.index("\n## ")


def test_every_configuration_it_names_is_shipped():
    names = re.findall(r"--config ([\w/]+\.yaml)", BOTH)
    assert {"baseline.yaml", "phase1.yaml", "data/voc21.yaml"} <= set(names)
    for name in names:
        assert find_config(name).is_file()


def test_the_commands_on_runs_it_shows(tmp_path, monkeypatch, capsys):
    for seed, name in enumerate(["baseline", "naclip"]):
        make_run(tmp_path / "lightning_logs/VOC21" / name, seed=seed)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^sclip ((?:report|compare) .*VOC21.*)$", BOTH, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        command = command.replace(" --panels changed/", "")  # these runs have no images; see test_long_runs.py
        words = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in command.split()]
        main([word for group in words for word in group])
        output = capsys.readouterr().out
        assert ("%" in output) or ("class,IoU" in output) or ("--format html" in command and "Written to" in output)
