"""Every command line of README and docs, as it stands there, on generated data and a tiny CLIP or the demo's.

Those of ``sclip app`` are in app/test_server.py; those of ``sclip predict``, and of ``sclip report`` and ``sclip
compare`` on other runs than the demo's, in test_readme.py; those of ``sclip weights`` in commands/test_weights.py;
those of docs/extending.md, which need its files, in test_extending.py.
"""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.commands.parsing.configs import find_config
from sclip_lightning.model.facts import method_names
from sclip_lightning.upsampling.networks.anyup import load_anyup
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from sclip_lightning.upsampling.networks.naf import load_naf
from tests.fake_data import draw_labels, write_all, write_image, write_maps, write_own
from tests.tiny_dino import MICRO, lposs_on, write_micro
from tests.tiny_sam import write_sam

pytestmark = pytest.mark.usefixtures("plain_board")

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_of(page):
    """The lines of a page's shell blocks that run sclip; of a loop, its first and its last round."""
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            loop = re.fullmatch(r"for (\w+) in (.*?); do (sclip .*); done", line)
            if loop:
                variable, values, body = loop.groups()
                yield from (body.replace(f"${variable}", value) for value in (values.split()[0], values.split()[-1]))
            elif line.startswith("sclip "):
                yield line


ELSEWHERE = r"sclip (app|predict|weights|(report|compare) .*VOC21)"
COMMANDS = {
    command: page.name
    for page in PAGES
    for command in commands_of(page)
    if page.name != "extending.md" and not re.match(ELSEWHERE, command)
}

BENCHMARKS = "VOC21 Context60 COCOObject VOC20 Context59 COCOStuff COCOStuff10k Cityscapes ADE20K"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("data"), 1)


@pytest.fixture(scope="module")
def loftup_weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("loftup") / "loftup.bin"
    torch.save(load_loftup(None, dim=16).state_dict(), file)
    return file


@pytest.fixture(scope="module")
def demo_runs(demo_ablation):
    """Where an ablation of the demo has been run."""
    return demo_ablation.parents[2]


def on_demo(demo_scenes):
    """One image, which is not segmented a second time for a ranking."""
    ranking = ["--ranked_panels.worst=0", "--ranked_panels.median=0"]
    return [f"--data.root={demo_scenes}", "--data.num_samples=1", *ranking, *QUIET]


def run_here(command):
    """A row of ``sclip reproduce`` in this process: another one takes seconds to import torch."""
    main(list(command))
    return 0


QUIET = ["--data.num_workers=0", "--trainer.accelerator=cpu", "--trainer.devices=1"]
QUIET += ["--trainer.enable_progress_bar=false"]
#: Pictures take a third of a tiny run's time.
NO_PICTURES = ["--panels.count=0", "--ranked_panels.worst=0", "--ranked_panels.median=0"]


def benchmark_of(command):
    """What tells which benchmark a command is on: their pictures differ in classes, colours and sizes."""
    found = re.search(r"--data (\w+)|--config data/(\w+)", command)
    return (found[1] or found[2]).lower() if found else ""


#: The first ``sclip test`` on each benchmark but the demo's; it draws, and the others of that benchmark do not.
TESTS = [line for line in COMMANDS if line.startswith("sclip test") and "demo" not in line.lower()]
DRAWN = {benchmark_of(line): line for line in reversed(TESTS)}


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if "demo" in command.lower()])
def test_command_on_the_demo(command, demo_runs, demo_scenes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(demo_runs)
    _, name, *arguments = shlex.split(command, comments=True)
    if command == "sclip ablate --config demo.yaml":  # was run to its end for the fixture, and reports
        arguments += [f"--data.root={demo_scenes}", "--data.num_samples=2", *QUIET]
    elif name in ("test", "ablate", "vocabularies", "reproduce"):
        arguments += [*on_demo(demo_scenes), "--output_dir=others"]
        monkeypatch.setattr("sclip_lightning.commands.reproduce.run_sclip", run_here)
        arguments += ["--panels.count=0"] if name == "ablate" else []  # one image's, in 18 rows
    elif name == "make-regions":
        arguments += [f"--data.root={demo_scenes}", "--data.num_samples=1"]
    else:
        arguments = [path for argument in arguments for path in (sorted(map(str, Path().glob(argument))) or [argument])]
    if name == "make-regions" or "--data.regions" in arguments:  # the other commands need no folder of their own
        monkeypatch.chdir(tmp_path)
    if "--data.regions" in arguments:
        main(["make-regions", "--data=Demo", f"--data.root={demo_scenes}", "--output_dir=region_masks/demo"])
    main([name, *arguments])
    printed = "Written to " if "html" in arguments else "mIoU"
    assert (printed if name != "make-regions" else "has a segment map in") in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if "demo" not in command.lower()])
def test_command(command, data, loftup_weights, tiny_clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, name, *arguments = shlex.split(command, comments=True)
    small = [
        "--data.short_side=32",
        f"--model.architecture={tiny_clip}",
        "--model.templates=none",
        "--model.crop=32",
        "--model.stride=16",
        *QUIET,
    ]
    monkeypatch.setattr("sclip_lightning.commands.reproduce.run_sclip", run_here)
    added = {
        "test": small,
        "vocabularies": small,
        "score": [],
        "check-data": ["--subset", "--data.num_workers=0"],
        "make-regions": [],
    }  # a new command needs what makes it small here
    added["reproduce"] = added["test"]
    added = added[name]
    if name == "test" and command != DRAWN[benchmark_of(command)]:
        added += NO_PICTURES
    if name == "test" and {"phase1.yaml", "loftup.yaml"} & {*arguments} and "null" not in arguments:
        added.append(f"--model.upsampler.weights={loftup_weights}")
    for config, load in (("naf.yaml", load_naf), ("anyup.yaml", load_anyup)):
        if name == "test" and config in arguments:
            torch.save(load(None).state_dict(), tmp_path / "upsampler.pth")
            added.append(f"--model.upsampler.weights={tmp_path / 'upsampler.pth'}")
    if name == "test" and "scclip.yaml" in arguments:  # its numbers are those of 12 and 24 blocks
        numbers = {"similarity_block": 6, "post_block": 3, "second_pass": "[3,8]", "class_share": 0.3}
        added += [f"--model.decoder.{field}={value}" for field, value in numbers.items()]
    if name == "test" and any(key in command for key in ("proxyclip", "glaclip", "corrclip", "ovstitcher")):
        own = {"network": MICRO, "weights": write_micro(tmp_path / "micro.pth")}
        added += [f"--model.decoder.{field}={value}" for field, value in own.items()]
    if name == "test" and "lposs" in command:
        added.append(lposs_on(write_micro(tmp_path / "micro.pth"), "lpossplus" in command))
    if "SAM" in arguments:
        added.append(f"--maker.model={write_sam(tmp_path / 'sam')}")
    if "ImageFolder" in arguments:
        write_own(Path(), 1)
    elif "--images" in arguments:
        Path("photos").mkdir()
        write_image(Path("photos/a.jpg"), draw_labels((48, 64), 21, seed=0))
    else:
        added.append(f"--data.root={data}")
    if "--data.regions" in arguments:
        write_maps(data / "VOCdevkit/VOC2012/JPEGImages", Path(arguments[arguments.index("--data.regions") + 1]))
    if name == "score":
        write_predictions(data, Path(arguments[arguments.index("--predictions") + 1]))
    main([name, *arguments, *added])
    printed = {"check-data": "Nothing is wrong.", "make-regions": "has a segment map in"}
    assert printed.get(name, "mIoU") in capsys.readouterr().out


def write_predictions(data, folder):
    """VOC's own masks, as label maps of some method."""
    folder.mkdir()
    for path in (data / "VOCdevkit/VOC2012/SegmentationClass").iterdir():
        labels = np.array(Image.open(path))
        labels[labels == 255] = 0
        Image.fromarray(labels).save(folder / path.name)


def test_pages_have_commands():
    assert set(COMMANDS.values()) >= {"README.md", "guide.md", "datasets.md", "reproducing.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_all_commands_are_in_blocks_that_tests_read(page):
    """A command in a block of another kind, indented or after a prompt would be run by no test."""
    text = page.read_text()
    shown = re.findall(r"^[ $>]*(?:python -m )?(?:sclip|sclip_lightning) [a-z-]+ --.*", text, re.MULTILINE)
    blocks = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).splitlines()
    assert [line for line in shown if not line.startswith("sclip ") or line not in blocks] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_configurations_are_shipped(page):
    text = page.read_text()
    for name in re.findall(r"--config ([\w/]+\.yaml)", text) + re.findall(r"`((?:data/)?\w+\.yaml)`", text):
        if name != "config.yaml":
            assert find_config(name).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)", page.read_text()):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings]
            assert anchor[1:] in slugs, (target, anchor)


def test_every_benchmark_has_a_row_per_method():
    text = (ROOT / "docs/reproducing.md").read_text()
    published = text.split("## Published figures")[1].split("## What else")[0]
    tables = dict(re.findall(r"<!-- published (\w+) -->\n(.*?)<!-- end -->", published, re.DOTALL))
    assert len(tables) == len([name for name in method_names() if f"<!-- published {name} -->" in published]) >= 7
    for method, table in tables.items():
        if table.strip() == "No figure for these parts was found.":
            continue
        rows = re.findall(r"^\| ([\w ]+) \|", table, re.MULTILINE)
        assert rows[1:] == (["mean of the eight"] if method == "lpossplus" else BENCHMARKS.split())
