"""Options that do not go together are refused before anything is loaded."""

import pytest

from sclip_lightning.decoding import (
    SCCLIP,
    ClassTokenShare,
    LastBlock,
    NeighbourAttention,
    ResidualAttention,
    SemanticFeedback,
)
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.options import SegmentorOptions, parts_of
from sclip_lightning.refine import LPOSS, PAMR, Bilateral, DenseCRF, RegionVote
from sclip_lightning.upsampling import LoftUp


def test_parts_that_are_switched_on():
    assert SegmentorOptions().parts == [LastBlock()]
    steps = {"prior": ClassTokenShare(), "upsampler": LoftUp(), "refiners": [LPOSS(), PAMR()]}
    assert SegmentorOptions(**steps).parts == [LastBlock(), ClassTokenShare(), LoftUp(), LPOSS(), PAMR()]


def test_parts_of_a_decoder_are_those_that_can_be_switched_off():
    assert parts_of(LastBlock("naclip")) == parts_of(LastBlock(NeighbourAttention(2.0))) == {}
    assert parts_of(LastBlock(sfr=True)) == {"sfr": SemanticFeedback()}
    both = parts_of(LastBlock(rcs=ResidualAttention(2.0), sfr=True))
    assert both == {"rcs": ResidualAttention(2.0), "sfr": SemanticFeedback()}
    assert parts_of(ClassTokenShare()) == parts_of(LoftUp()) == {}


def test_refiners_may_stand_in_the_order_of_what_they_work_on():
    refiners = [LPOSS(), PAMR(), DenseCRF(), Bilateral(), RegionVote()]
    assert SegmentorOptions(refiners=refiners).refiners == refiners


@pytest.mark.parametrize(
    ("place", "part", "belongs"),
    [
        ("prior", PAMR(), "--model.refiners"),
        ("upsampler", ClassTokenShare(), "--model.prior"),
        ("refiners", [LoftUp()], "--model.upsampler"),
    ],
)
def test_a_part_in_a_place_that_is_not_its_own_is_refused(place, part, belongs):
    with pytest.raises(ConfigError, match=f"cannot stand in --model.{place}: it belongs in {belongs}"):
        SegmentorOptions(weights=None, **{place: part})


@pytest.mark.parametrize(
    ("refiners", "named"),
    [
        ([DenseCRF(), PAMR()], r"DenseCRF \(probabilities\), PAMR \(logits\)"),
        ([RegionVote(), DenseCRF()], r"RegionVote \(labels\), DenseCRF \(probabilities\)"),
        ([PAMR(), LPOSS()], r"PAMR \(logits\), LPOSS \(tokens\)"),
    ],
)
def test_refiners_in_an_order_that_cannot_be_are_refused(refiners, named):
    with pytest.raises(ConfigError, match=rf"--model\.refiners are {named}.*Reorder"):
        SegmentorOptions(refiners=refiners)


def test_random_weights_of_a_part_go_with_random_weights_of_clip_only():
    with pytest.raises(ConfigError, match=r"weights of LoftUp are null.*--model\.weights to null"):
        SegmentorOptions(upsampler=LoftUp(weights=None))
    assert SegmentorOptions(upsampler=LoftUp(weights=None), weights=None).upsampler == LoftUp(weights=None)


@pytest.mark.parametrize(
    ("options", "lost", "remedy"),
    [
        ({"decoder": LastBlock(rcs=True)}, "ResidualAttention", "--model.decoder.rcs false"),
        (
            {"decoder": LastBlock(rcs=True, sfr=True)},
            "ResidualAttention and SemanticFeedback",
            "--model.decoder.rcs false, --model.decoder.sfr false",
        ),
        ({"prior": ClassTokenShare()}, "ClassTokenShare", "--model.prior null"),
        ({"refiners": [LPOSS(), PAMR()]}, "LPOSS", "--model.refiners without LPOSS"),
    ],
)
def test_what_an_upsampler_with_logits_of_its_own_makes_pointless_is_refused(options, lost, remedy):
    with pytest.raises(ConfigError) as error:
        SegmentorOptions(upsampler=LoftUp(mode="direct"), **options)
    assert f"{lost} could change nothing" in str(error.value)
    assert f"({remedy}), or set --model.upsampler.mode to affinity" in str(error.value)
    assert SegmentorOptions(upsampler=LoftUp(), **options)
    assert SegmentorOptions(upsampler=LoftUp(mode="direct"), refiners=[PAMR(), DenseCRF()])


@pytest.mark.parametrize(
    "decoder",
    [LastBlock("naclip"), LastBlock(NeighbourAttention()), LastBlock(residual=False), SCCLIP()],
    ids=["a name", "numbers", "residual", "a decoder"],
)
def test_attention_and_decoders_that_direct_mode_never_reads_are_refused(decoder):
    with pytest.raises(ConfigError, match=r"reads the values of the last block alone: .* could change nothing"):
        SegmentorOptions(decoder=decoder, upsampler=LoftUp(mode="direct"))
    assert SegmentorOptions(decoder=decoder, upsampler=LoftUp())


@pytest.mark.parametrize("decoder", [LastBlock(), LastBlock("sclip", residual=True), LastBlock("maskclip")])
def test_the_default_and_the_values_themselves_go_with_direct_mode(decoder):
    assert SegmentorOptions(decoder=decoder, upsampler=LoftUp(mode="direct"))


def test_a_refiner_given_twice_is_refused():
    with pytest.raises(ConfigError, match=r"PAMR stands twice in --model\.refiners with the same numbers"):
        SegmentorOptions(refiners=[LPOSS(), PAMR(), PAMR()])
    assert len(SegmentorOptions(refiners=[PAMR(), PAMR(iterations=3)]).parts) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"decoder": "LastBlock"},
            r"decoder .* has 'LastBlock', which is no Decoder. Give the part itself, LastBlock\(\)",
        ),
        ({"decoder": None}, "decoder .* has None, which is no Decoder"),
        ({"prior": "ClassTokenShare"}, r"prior .* Give the part itself, ClassTokenShare\(\)"),
        ({"upsampler": LastBlock()}, "which is no Step"),
        ({"refiners": ["PAMR"]}, r"Give the part itself, PAMR\(\)"),
        ({"refiners": "PAMR"}, r"Give the part itself, PAMR\(\)"),
        ({"refiners": PAMR()}, "by itself. Give a list"),
    ],
)
def test_what_is_no_part_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SegmentorOptions(**options)


def test_templates_are_checked():
    with pytest.raises(ConfigError, match=r"--model\.templates"):
        SegmentorOptions(templates="some")
