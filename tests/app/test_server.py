"""Where the page is served, what is written, and what is said before anything starts."""

import os
import re
import runpy
import shlex
import socket
import sys
from pathlib import Path

import pytest

from sclip_lightning.app import server
from sclip_lightning.app.choices import STARTED
from sclip_lightning.app.drawn import demo_classes
from sclip_lightning.cli import main
from sclip_lightning.commands.app import make_page, parse
from sclip_lightning.decoding import LastBlock
from sclip_lightning.demo.captions import SYNONYMS
from sclip_lightning.demo.scenes import CLASSES
from sclip_lightning.errors import ConfigError
from sclip_lightning.vocabulary import Vocabulary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_without_gradio_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(["app", "--config", "demo.yaml"])
    assert 'sclip app needs Gradio, which is not installed. Install it with: pip install -e ".[app]"' in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--port=0", "--port"),
        ("--max_megapixels=0", "--max_megapixels"),
        ("--max_megabytes=-1", "--max_megabytes"),
        ("--memory=0", "--memory"),
    ],
)
def test_numbers_outside_their_range_are_refused(argument, message):
    pytest.importorskip("gradio")
    with pytest.raises(ConfigError, match=message):
        parse(["--config", "demo.yaml", argument])


def test_a_port_that_is_taken_is_refused_or_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"Port {port} of 127.0.0.1 \(--host, --port\) cannot be used"):
            server._free_port("127.0.0.1", port)
        assert server._free_port("127.0.0.1", None) >= server.PORT
    with pytest.raises(ConfigError, match=r"There is no address 'no\.such\.host\.invalid' \(--host\)"):
        server._free_port("no.such.host.invalid", None)


def test_everything_is_written_into_one_folder_that_goes(monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/elsewhere")
    with server.temporary_folder() as folder:
        (folder / "file").write_text("text")
        assert os.environ["GRADIO_TEMP_DIR"].startswith(str(folder))
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert not folder.exists()
    assert os.environ["GRADIO_TEMP_DIR"] == "/elsewhere"


def test_methods_keep_what_the_page_was_started_with():
    pytest.importorskip("gradio")
    options = parse(["--config", "demo.yaml", "--model.stride=16", "--model.logit_scale=30"])
    assert next(iter(options.methods)) == STARTED
    for made in options.methods.values():
        assert (made.architecture, made.weights) == ("demo", "demo")
        assert (made.crop, made.stride, made.logit_scale) == (64, 16, 30)
    assert options.short_side == 128
    assert options.methods["NACLIP"].decoder == LastBlock("naclip")
    assert options.methods["NACLIP"].refiners is None


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples/space/README.md"]
DOCUMENTED = {line for page in PAGES for line in re.findall("^sclip app .*", page.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("command", sorted(DOCUMENTED))
def test_documented_commands_serve_a_page(command, monkeypatch, capsys, tiny_clip):
    """With the network of the demo, or a random one in the place of CLIP's."""
    pytest.importorskip("gradio")
    seen = {}

    def served(page, host, port, megabytes, say, open_browser):
        seen.update(page=page, host=host, port=port, open_browser=open_browser)
        seen["folder"] = Path(os.environ["GRADIO_TEMP_DIR"]).parent
        say("http://there")

    monkeypatch.setattr("sclip_lightning.commands.app.serve", served)
    arguments = shlex.split(command)[1:]
    if "demo.yaml" not in command:
        arguments += [f"--model.architecture={tiny_clip}", "--model.weights=null", "--model.templates=none"]
    main(arguments)
    assert "Open http://there in a browser." in capsys.readouterr().out
    assert (seen["host"], seen["port"], seen["open_browser"]) == ("127.0.0.1", None, "--open_browser" in command)
    assert not seen["folder"].exists()


def test_the_demos_words_are_its_classes():
    vocabulary = Vocabulary.parse(demo_classes())
    assert vocabulary.names == tuple(CLASSES)
    assert {word for words in vocabulary.synonyms for word in words} == {
        *CLASSES,
        *(word for words in SYNONYMS.values() for word in words),
    }


def test_the_space_builds_the_page(tmp_path, monkeypatch):
    pytest.importorskip("gradio")
    monkeypatch.setenv("SCLIP_APP", "--config demo.yaml --classes 'cat, sky'")
    space = runpy.run_path(str(ROOT / "examples/space/app.py"), run_name="space")
    assert space["ARGUMENTS"] == ["--config", "demo.yaml", "--classes", "cat, sky"]
    page = make_page(parse(space["ARGUMENTS"]), tmp_path)
    labels = {one.get("props", {}).get("label") for one in page.get_config_file()["components"]}
    assert {"Image", "Classes", "Method", "Parts", "Threshold", "Logit scale"} <= labels
    run = {}
    monkeypatch.setattr("sclip_lightning.commands.app.run_app", lambda arguments: run.update(arguments=arguments))
    runpy.run_path(str(ROOT / "examples/space/app.py"), run_name="__main__")
    assert run["arguments"] == ["--host=0.0.0.0", "--port=7860", *space["ARGUMENTS"]]


def test_the_space_says_what_it_needs():
    header = (ROOT / "examples/space/README.md").read_text().split("---")[1]
    assert "sdk: gradio" in header
    assert "app_file: app.py" in header
    gradio = sys.modules.get("gradio") or pytest.importorskip("gradio")
    assert f"sdk_version: {gradio.__version__}" in header
    assert "sclip_lightning[app]" in (ROOT / "examples/space/requirements.txt").read_text()
