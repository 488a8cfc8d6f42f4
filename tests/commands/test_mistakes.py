"""What the commands say of mistyped options and wrong values, and their first screen of help."""

import re
import subprocess
import sys

import pytest

from sclip_lightning.cli import main
from sclip_lightning.commands.help import SHORT_HELP
from sclip_lightning.decoding import LastBlock
from sclip_lightning.errors import ConfigError

PREDICT = ("predict", "--images", "x", "--classes", "a, b")
DEMO = ("test", "--config", "demo.yaml")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((*DEMO, "--data.num_sample", "3"), "There is no option --data.num_sample. Did you mean --data.num_samples?"),
        (
            (*DEMO, "--model.attention", "sclip"),
            "There is no option --model.attention. Did you mean --model.decoder.attention?",
        ),
        (
            (*DEMO, "--model.decoder.rcs.tua", "1"),
            "There is no option --model.decoder.rcs.tua. Did you mean --model.decoder.rcs.tau?",
        ),
        ((*DEMO, "--overwrit"), "There is no option --overwrit. Did you mean --overwrite?"),
        ((*PREDICT, "--backgroud"), "There is no option --backgroud. Did you mean --background?"),
        ((*DEMO, "--data.on_error", "x"), "--data.on_error is x, but must be stop or skip."),
        (
            (*DEMO, "--model.decoder.attention", "clearclp"),
            "--model.decoder.attention is clearclp, but must be vanilla, maskclip, sclip, clearclip, naclip or "
            "segearth. Did you mean clearclip?",
        ),
        ((*PREDICT, "--short_side", "x"), "--short_side is x, but must be a whole number or null."),
        ((*DEMO, "--panels.count", "x"), "--panels.count is x, but must be a whole number."),
        (("test", "--data", "VOC23"), "Did you mean VOC21?"),
        ((*DEMO, "--name"), "--name needs a value."),
        (("predict",), "--images and --classes must be given."),
        (("check-data",), "--data must be given."),
        ((*DEMO, "stray"), "The argument stray belongs to no option."),
    ],
)
def test_a_mistake_gets_one_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as ending:
        main(list(arguments))
    assert ending.value.code == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert error.startswith("error: ")
    assert "\n" not in error
    assert "class '" not in error


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "model: {decoder: {class_path: LastBlock, init_args: {atention: x}}}",
            "no option --model.decoder.atention. Did you mean --model.decoder.attention?",
        ),
        ("model: {archtecture: x}", "no option --model.archtecture. Did you mean --model.architecture?"),
        ("modle: {crop: 3}", "no option --modle.crop. Did you mean --model.crop?"),
        ("model: 3", "own.yaml: model is 3; expected options, each with its value, below model."),
        ("trainer: [1]", "own.yaml: trainer is [1]; expected options"),
    ],
)
def test_mistakes_in_a_configuration(content, sentence, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(SystemExit):
        main([*DEMO, "--config", str(tmp_path / "own.yaml")])
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "right"),
    [
        ("test", ("--model.crop=7", "--panels.ids+=one", "--data=VOC21", "--data.root=nowhere")),
        ("predict", ("--model.crop=7", "--export+=coco", "--images=nowhere", "--classes=a, b")),
    ],
)
def test_a_command_does_not_depend_on_those_before_it_in_the_process(command, right, capsys):
    def printed(*options):
        with pytest.raises(SystemExit):
            main([command, *options, "--print_config"])
        return capsys.readouterr().out

    plain = printed()
    assert "crop: 7" in printed(*right)
    printed("--model.crop=x")
    with pytest.raises(SystemExit):
        main([command, *right])  # whose parser is kept, for nothing is wrong with its options
    assert "nowhere" in capsys.readouterr().err
    assert printed() == plain


def test_python_refuses_an_unknown_attention_when_it_is_given():
    with pytest.raises(ConfigError, match="no attention 'nonsense'"):
        LastBlock("nonsense")


@pytest.mark.parametrize("command", SHORT_HELP)
def test_help_is_one_screen_and_names_only_options_that_are_there(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert text.count("\n") <= 36
    assert max(len(line) for line in text.splitlines()) <= 120
    with pytest.raises(SystemExit):
        main([command, "--help.all"])
    everything = capsys.readouterr().out
    assert everything.startswith(f"usage: sclip {command} [-")
    if command in ("test", "ablate"):
        assert len(everything) > 10 * len(text)
    of_a_class = ("--data.", "--model.decoder.", "--maker.")  # listed where the class is chosen
    for option in set(re.findall(r"(--[a-z_.]+[a-z])\b", text)) - {"--help.all"}:
        assert option in everything or option.startswith(of_a_class), option


def test_help_imports_next_to_nothing():
    code = (
        "import sys; from sclip_lightning.cli import main\ntry: main(['test', '--help'])\nexcept SystemExit: "
        "print({'torch', 'numpy', 'jsonargparse'} & {*sys.modules})"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "set()"
