"""A decoder named later must not make the parts of an earlier one vanish."""

import pytest

from sclip_lightning.commands.parsing.configs import expand_method, resolve_arguments
from sclip_lightning.commands.parsing.replaced import check_replaced
from sclip_lightning.errors import ConfigError


def check(line):
    check_replaced(resolve_arguments(expand_method(line.split())))


@pytest.mark.parametrize(
    ("line", "origin", "lost"),
    [
        ("--config resclip.yaml --model.decoder SCCLIP", "resclip.yaml", "rcs and sfr"),
        ("--method resclip --model.decoder=SCCLIP", "resclip.yaml", "rcs and sfr"),
        ("--method resclip --config scclip.yaml", "resclip.yaml", "rcs and sfr"),
        ("--method resclip --model.decoder.sfr=false --model.decoder SCCLIP", "resclip.yaml", "rcs"),
        ("--model.decoder.sfr true --model.decoder sclip_lightning.decoding.SCCLIP", "--model.decoder.sfr", "sfr"),
        ("--model.decoder.rcs.tau 2 --model.decoder.class_path SCCLIP", "--model.decoder.rcs", "rcs"),
        ("--config phase1.yaml --model.decoder SCCLIP --model.decoder LastBlock", "phase1.yaml", "rcs and sfr"),
    ],
)
def test_parts_that_would_be_lost_are_named(line, origin, lost):
    with pytest.raises(ConfigError) as error:
        check(line)
    assert str(error.value).startswith(f"{origin} switches {lost} on, which SCCLIP does not have")
    assert f"--model.decoder.{lost.split()[0]} false" in str(error.value)


@pytest.mark.parametrize(
    "line",
    [
        "--config resclip.yaml --model.decoder LastBlock",
        "--config baseline.yaml --model.decoder SCCLIP",
        "--config naclip.yaml --config scclip.yaml",
        "--config resclip.yaml --model.decoder.rcs false --model.decoder.sfr null --model.decoder SCCLIP",
        "--config demo.yaml --config demo/baseline.yaml --config scclip.yaml",
        "--model.decoder SCCLIP --model.decoder.repair false",
        "--model.decoder my_package.Decoder --model.decoder {",
        "--config",
    ],
)
def test_whatever_loses_nothing_passes(line):
    check_replaced(resolve_arguments(expand_method(line.split())) if line != "--config" else [line])
