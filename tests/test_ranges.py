"""Numbers outside their ranges are refused where they are given, by one mechanism for every part."""

from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.commands.parsing.parts import ROOMS
from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.head import Head
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.ranges import Range, above, at_least, between, check_number, ranges_of
from sclip_lightning.windows import Part

EXPORTS = [getattr(room, name) for room in ROOMS for name in room.__all__]
PARTS = [part for part in EXPORTS if is_dataclass(part)]
#: Numbers of parts that may be any: a name in a map of segments.
FREE = {("RegionVote", "unassigned")}


def numbers(kind):
    """Names of the fields that may hold a number, switches and words aside."""

    def holds(hint):
        return hint in (int, float) or any(map(holds, get_args(hint)))

    return [field.name for field in fields(kind) if field.init and holds(get_type_hints(kind)[field.name])]


def outside(allowed):
    """Numbers that a range does not hold."""
    values = [float("nan"), float("inf"), -float("inf")]
    values += [] if allowed.low is None else [allowed.low - 1]
    values += [] if allowed.high is None else [allowed.high + 1]
    values += [allowed.low] if allowed.without_low else []
    values += [allowed.high] if allowed.without_high else []
    return values + ([2.5] if allowed.whole else [])


CASES = [(part, name) for part in PARTS for name in numbers(part) if (part.__name__, name) not in FREE]


@pytest.mark.parametrize(("part", "name"), CASES, ids=[f"{part.__name__}-{name}" for part, name in CASES])
def test_every_number_of_every_part_has_a_range_and_is_held_against_it(part, name):
    allowed = ranges_of(part)[name]
    assert part.option.startswith("--model.")
    for value in outside(allowed):
        with pytest.raises(ConfigError) as error:
            part(**{name: value})
        message = str(error.value)
        assert part.option in message
        assert f"{part.__name__}'s {name} is {value}" in message
        assert str(allowed) in message


@pytest.mark.parametrize("kind", [SegmentorOptions, Protocol, Head])
def test_numbers_that_are_no_part_s_have_ranges(kind):
    required = {Protocol: {"short_side": 336}, Head: {"logit_scale": 40.0}}.get(kind, {})
    assert numbers(kind)
    for name in numbers(kind):
        for value in outside(ranges_of(kind)[name]):
            with pytest.raises(ConfigError, match=f"{name} is {value}"):
                kind(**{**required, name: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [("prob_threshold", 10), ("prob_threshold", float("nan")), ("logit_scale", 0), ("logit_scale", -40)],
)
def test_options_are_named(option, value):
    with pytest.raises(ConfigError, match=rf"^--model\.{option} is {value}\. Give a number"):
        SegmentorOptions(**{option: value})


def test_a_new_part_needs_no_line_of_checking():
    @dataclass(frozen=True)
    class Newcomer(Part):
        option = "--model.newcomer"
        widths: Annotated[tuple[float, ...], above(0)] = (1.0,)
        share: Annotated[float, between(0, 1)] | None = None

    Newcomer((1.0, 2.0), 0.5)
    for wrong in ({"widths": (1.0, 0.0)}, {"widths": ()}, {"share": 1.5}, {"share": True}):
        with pytest.raises(ConfigError, match=r"^--model\.newcomer: Newcomer's"):
            Newcomer(**wrong)


def test_ranges_say_what_they_hold():
    assert str(above(0)) == "a number above 0"
    assert str(at_least(1, whole=True)) == "a whole number from 1 up"
    assert str(Range(0, 1, without_high=True)) == "a number from 0 to below 1"
    assert str(Range()) == "a number"
    assert at_least(1, whole=True).holds(np.int64(3))
    assert between(0, 1).holds(np.float32(0.5))
    assert not between(0, 1).holds("0.5")
    with pytest.raises(ConfigError, match=r"^--limit is 0\. Give a whole number from 1 up\.$"):
        check_number(0, at_least(1, whole=True), "--limit")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model.prob_threshold=10"], "--model.prob_threshold is 10.0. Give a number from 0 to 1."),
        (["--model.refiners+=LPOSS", "--model.refiners.k=-3"], "--model.refiners: LPOSS's k is -3. Give"),
        (
            ["--model.decoder.attention=NeighbourAttention", "--model.decoder.attention.std=0"],
            "--model.decoder.attention: NeighbourAttention's std is 0.0. Give",
        ),
        (["--model.decoder.rcs=true", "--model.decoder.rcs.tau=.nan"], "ResidualAttention's tau is nan. Give"),
        (
            ["--model.upsampler=LoftUp", "--model.upsampler.temperature=-1"],
            "--model.upsampler: LoftUp's temperature is -1.0. Give",
        ),
        (["--short_side=-4"], "short_side is -4. Give"),
    ],
)
def test_the_command_line_prints_one_sentence(arguments, expected, tmp_path, capsys):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    with pytest.raises(SystemExit) as ending:
        main(["predict", f"--images={tmp_path}", "--classes=cat, sky", "--model.architecture=demo", *arguments])
    assert ending.value.code == 1
    error = capsys.readouterr().err.strip()
    assert expected in error
    assert "\n" not in error
