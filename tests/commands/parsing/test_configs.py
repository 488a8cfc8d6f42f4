"""Where configurations are found, and what stands for them."""

from pathlib import Path

import pytest
import yaml

from sclip_lightning.commands.parsing.configs import expand_method, find_config, resolve_arguments, shipped_configs
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import method_names, model_section


@pytest.mark.parametrize("name", method_names())
def test_a_method_has_a_configuration_of_its_name(name):
    for given in (name, f"{name}.yaml"):
        path = find_config(given)
        assert path.name == f"{name}.yaml"  # runs are named after it
        assert path.parent.name != "data"
        assert yaml.safe_load(path.read_text()) == {"model": model_section(name)}
    arguments = ["--config", name, f"--config={name}.yaml"]
    assert resolve_arguments(arguments) == ["--config", str(path), f"--config={path}"]


def test_no_method_has_a_file_among_the_shipped_configurations():
    shipped = {path.stem for path in shipped_configs().glob("*.yaml")}
    assert not shipped & set(method_names())
    assert {"baseline", "phase1", "pamr"} <= shipped


def test_a_file_of_ones_own_comes_first(tmp_path, monkeypatch):
    (tmp_path / "naclip.yaml").write_text("model: {}\n")
    monkeypatch.chdir(tmp_path)
    assert find_config("naclip.yaml") == Path("naclip.yaml")
    assert find_config("naclip").read_text() != "model: {}\n"


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ConfigError, match=r"no configuration 'nothing'.*baseline\.yaml.*methods: .*naclip\.yaml"):
        find_config("nothing")


def test_the_baseline_is_sclip():
    baseline = yaml.safe_load(find_config("baseline.yaml").read_text())["model"]
    sclip = model_section("sclip")
    assert {key: baseline[key] for key in sclip} == sclip
    assert set(baseline) - set(sclip) == {"architecture", "weights", "templates"}


@pytest.mark.parametrize("form", ["--method naclip", "--method=naclip"])
def test_a_method_is_a_configuration_before_all_others(form):
    arguments = ["--config", "pamr.yaml", *form.split(), "--name", "mine"]
    assert expand_method(arguments) == ["--config=naclip.yaml", "--config", "pamr.yaml", "--name", "mine"]


@pytest.mark.parametrize("form", ["--protocol resclip", "--protocol=resclip"])
def test_a_protocol_is_an_option_where_it_stands(form):
    expanded = ["--config", "a.yaml", "--model.protocol=resclip", "--name=b"]
    assert expand_method(["--config", "a.yaml", *form.split(), "--name=b"]) == expanded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "naclp"], r"no method 'naclp'\. Did you mean naclip"),
        (["--protocol=slip"], r"no method 'slip'\. Did you mean sclip"),
        (["--method"], "--method needs the name of a method: anyup, clearclip, "),
        (["--protocol", "--name=a"], "--protocol needs the name of a method"),
        (["--method=naclip", "--method=sclip"], r"given 2 times \(naclip, sclip\)"),
    ],
)
def test_a_method_that_is_none(arguments, message):
    with pytest.raises(ConfigError, match=message):
        expand_method(arguments)
