"""Mistyped options that are found before torch is imported, and what is left to the parser."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from sclip_lightning.cli import main
from sclip_lightning.commands.options import KNOWN, check_names, known_options
from sclip_lightning.commands.parsing.configs import shipped_configs
from sclip_lightning.errors import UsageError
from tests.test_docs import commands_of

ROOT = Path(__file__).parents[2]
DEMO = ("test", "--config", "demo.yaml")
PREDICT = ("predict", "--images", "x", "--classes", "a, b")
#: What is refused, and by whom; each is the end of a sentence of the parser, too.
MISTYPED = [
    (*DEMO, "--data.num_sample", "3"),
    (*DEMO, "--data.num_sample=3"),
    (*DEMO, "--model.attention", "sclip"),
    (*DEMO, "--model.decoder.rcs.tua", "1"),
    (*DEMO, "--overwrit"),
    ("test", "--method", "naclip", "--nonsense"),
    ("ablate", "--config=phase1.yaml", "--panel.count", "1"),
    (*PREDICT, "--backgroud"),
    (*PREDICT, "--model.refiner+=PAMR"),
    ("score", "--data", "VOC21", "--prediction", "x"),
    ("make-regions", "--images", "x", "--maker", "SLIC", "--maker.segment", "9"),
]


def error_of(arguments, capsys):
    with pytest.raises(SystemExit) as ending:
        main(list(arguments))
    assert ending.value.code == 2
    return capsys.readouterr().err.strip()


def test_the_names_are_those_of_the_parsers():
    script = runpy.run_path(str(ROOT / "docs/options.py"))
    assert KNOWN.read_text() == script["listed"](), "options.txt differs from the parsers: run python docs/options.py"
    assert all(len(known_options(command)) > 10 for command in script["COMMANDS"])


@pytest.mark.parametrize("arguments", MISTYPED)
def test_the_parser_says_the_same(arguments, capsys, monkeypatch):
    with pytest.raises(UsageError) as early:
        check_names(arguments[0], arguments[1:])
    monkeypatch.setattr("sclip_lightning.commands.options.check_names", lambda *_: None)
    assert error_of(arguments, capsys) == f"error: {early.value}"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["test", "predict", "score", "make-regions"])
def test_they_are_found_before_torch_is_imported(command):
    code = (
        f"import sys; from sclip_lightning.cli import main\ntry: main(['{command}', '--nam', 'x'])\n"
        "except SystemExit: print({'torch', 'lightning'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert "There is no option --nam. " in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--data", "own.data.Villages", "--data.season", "winter"),
        ("--data=own.data.Villages", "--data.season=winter"),
        ('--data={"class_path": "own.data.Villages"}', "--data.season=winter"),
        ("--model.refiners+=own.refiner.BoxBlur", "--model.refiners.side=3"),
        ("--config=own.yaml", "--data.season=winter"),
        ("-c", "own.yaml", "--data.season=winter"),
        ("--config=other.yaml", "--data.season=winter"),
        ("--data=data.yaml", "--data.season=winter"),
        ("--trainer.devices=2", "--trainer.of_the_next_release=1"),
        ("--data.init_args.root=x", "--data.dict_kwargs.season=winter", "--data.help=VOC21"),
        ("--allow_modules=own", "--protocol", "sclip", "--model.refiners+=PAMR", "--model.refiners.iterations=3"),
        ("--model.decoder.attention.pairs+=q", "--predictions", "x"),
    ],
)
def test_what_may_be_right_is_left_to_the_parser(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("data: {class_path: own.data.Villages}\n")
    Path("data.yaml").write_text("class_path: own.data.Villages\n")
    Path("other.yaml").write_text("data: data.yaml\n")
    check_names("test", arguments)


def test_a_configuration_of_the_package_s_classes_is_none_of_one_s_own(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("data: {class_path: sclip_lightning.data.VOC21}\ntrainer: {logger: lightning.pytorch.loggers.X}\n")
    with pytest.raises(UsageError, match=r"no option --nam\. Did you mean --name\?"):
        check_names("test", (f"--config={path}", "--nam=x"))


def test_no_documented_command_and_no_configuration_is_refused():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    commands = [command.split() for page in pages for command in commands_of(page)]
    for _, command, *arguments in commands:
        options = [one for one in arguments if not re.match(r".*(\.yaml|\.Villages)$", one)]  # which may not be here
        check_names(command, [one for one in options if one not in ("--config", "-c")])
    assert len(commands) > 30
    for path in shipped_configs().rglob("*.yaml"):
        check_names("test", [f"--config={path}"])
