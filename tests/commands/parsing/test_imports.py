"""What a configuration may name: no class of a module that the user has not allowed, and nothing of it is run."""

import sys
from itertools import count

import pytest
import yaml
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.commands.parsing.compare_panels import write_panels
from sclip_lightning.commands.parsing.imports import ALLOW_VARIABLE
from sclip_lightning.errors import ConfigError

NUMBERS = count()


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Name of a module in the working directory; it has been run if it is among ``sys.modules``."""
    name = f"helper_{next(NUMBERS)}"  # of its own, since what was allowed once stays so within a process
    (tmp_path / f"{name}.py").write_text(
        "from sclip_lightning.demo.benchmark import Demo\nfrom sclip_lightning.refine import PAMR\n"
        "class Refiner(PAMR): pass\nclass Data(Demo): pass\n"
    )
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def run(command, config, *arguments):
    """Run a command with a configuration, up to an error that comes before anything is computed."""
    with open("config.yaml", "w") as file:  # noqa: PTH123
        yaml.safe_dump(config, file)
    with pytest.raises(SystemExit) as ending:
        main([command, "--config=config.yaml", *arguments])
    assert ending.value.code == 1


PREDICT = ["--images=nowhere.png", "--classes=cat, sky", "--model.architecture=demo"]
TEST = ["--data.short_side=-1", "--model.architecture=demo"]


@pytest.mark.parametrize(
    ("command", "config", "arguments"),
    [
        ("predict", {"model": {"refiners": [{"class_path": "{}.Refiner"}]}}, PREDICT),
        ("predict", {"model": {"refiners": ["{}.Refiner"]}}, PREDICT),
        ("predict", {"model": {"upsampler": "{}.Refiner"}}, PREDICT),
        ("predict", {"model": {"decoder": {"init_args": {"attention": {"class_path": "{}.Refiner"}}}}}, PREDICT),
        ("predict", {"model": {"prior": "{{class_path: {}.Refiner}}"}}, PREDICT),
        ("test", {"data": {"class_path": "{}.Data"}}, TEST),
        ("test", {"data": "other.yaml"}, TEST),
        ("test", {"trainer": {"callbacks": [{"class_path": "{}.Data"}]}}, TEST),
        ("test", {"trainer": {"logger": "{}.Data"}}, TEST),
        ("check-data", {"data": "{}.Data"}, []),
        ("score", {"data": "{}.Data"}, ["--predictions=nowhere"]),
    ],
)
def test_a_module_nobody_allowed_is_not_run(helper, command, config, arguments, capsys):
    with open("other.yaml", "w") as file:  # noqa: PTH123
        file.write(f"class_path: {helper}.Data\n")
    config = yaml.safe_load(yaml.safe_dump(config).replace("{}", helper).replace("{{", "{").replace("}}", "}"))
    run(command, config, *arguments)
    assert helper not in sys.modules
    error = capsys.readouterr().err.strip()
    assert f"A configuration names {helper}." in error
    assert f"--allow_modules {helper}" in error
    assert error.count("\n") == 0


def test_functions_of_the_system_are_no_callbacks(helper, capsys):
    callback = {"class_path": "LambdaCallback", "init_args": {"on_test_start": "os.system"}}
    run("test", {"trainer": {"callbacks": [callback]}}, *TEST)
    assert "A configuration names os.system" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["option", "option=", "variable", "typed"])
def test_what_the_user_allows_is_run(helper, how, monkeypatch, capsys):
    options = {"option": ["--allow_modules", helper], "option=": [f"--allow_modules=elsewhere, {helper}"]}
    if how == "variable":
        monkeypatch.setenv(ALLOW_VARIABLE, f"elsewhere,{helper}")
    config = {} if how == "typed" else {"model": {"refiners": [f"{helper}.Refiner"]}}
    typed = [f"--model.refiners=[{helper}.Refiner]"] if how == "typed" else options.get(how, [])
    run("predict", config, *PREDICT, *typed)
    assert helper in sys.modules
    assert "nowhere.png" in capsys.readouterr().err  # the error that ends this test's run


def test_a_configuration_allows_nothing_itself(helper, capsys):
    run("predict", {"allow_modules": helper, "model": {"refiners": [f"{helper}.Refiner"]}}, *PREDICT)
    assert f"A configuration names {helper}." in capsys.readouterr().err
    assert helper not in sys.modules


def test_classes_of_the_package_and_of_lightning_may_be_named(helper, capsys):
    config = {
        "model": {"refiners": ["PAMR", {"class_path": "sclip_lightning.refine.Bilateral"}]},
        "trainer": {"profiler": "lightning.pytorch.profilers.SimpleProfiler", "callbacks": [{"class_path": "Timer"}]},
        "data": {"class_path": "Demo"},
    }
    run("test", config, *TEST)
    assert "short_side" in capsys.readouterr().err


@pytest.mark.parametrize("names", ["", "../helper", "jsonargparse", "a b"])
def test_names_that_are_none_are_refused(helper, names, capsys):
    run("predict", {}, *PREDICT, f"--allow_modules={names}")
    assert "Give names of modules" in capsys.readouterr().err


@pytest.mark.slow
def test_panels_read_another_run_s_configuration_in_the_same_way(helper, demo_scenes, tmp_path):
    section = {"class_path": f"{helper}.Data", "init_args": {"root": str(demo_scenes)}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": section}))
    with pytest.raises(ConfigError, match=rf"names {helper}\.Data.*--allow_modules {helper}"):
        write_panels((tmp_path, tmp_path), [], tmp_path / "panels")
    assert helper not in sys.modules
    assert write_panels((tmp_path, tmp_path), [], tmp_path / "panels", allowed=helper) == 0
    assert helper in sys.modules
