"""What the user gave, else what is published: resolved once, nothing left open."""

import re
from dataclasses import fields, replace

import pytest

import sclip_lightning.data
from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.decoding import LastBlock, NeighbourAttention, ResidualAttention, SemanticFeedback
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import numbers_of, protocol_of
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.refine import LPOSS, PAMR, DenseCRF, LPOSSPlus
from sclip_lightning.vocabulary import Vocabulary

RESCLIP = LastBlock("naclip", rcs=True, sfr=True)
OWN = Vocabulary.parse("cat, grass=lawn|meadow, sky")


def benchmark(name):
    return Vocabulary.of(getattr(sclip_lightning.data, name).published)


@pytest.mark.parametrize("name", ["VOC21", "VOC20", "COCOStuff", "Cityscapes"])
def test_parts_have_the_numbers_of_the_benchmark_whatever_the_protocol(name):
    for protocol in ("sclip", "resclip"):
        decoder = resolve(SegmentorOptions(decoder=RESCLIP, protocol=protocol), benchmark(name)).decoder
        assert vars(decoder.rcs) == numbers_of("ResidualAttention", name)
        expected = numbers_of("SemanticFeedback", name) | {"logit_scale": protocol_of(protocol, name).logit_scale}
        assert vars(decoder.sfr) == expected


@pytest.mark.parametrize("protocol", ["sclip", "naclip", "clearclip", "resclip", "maskclip"])
def test_the_protocol_is_that_of_the_method_named(protocol):
    settings = resolve(SegmentorOptions(protocol=protocol), benchmark("VOC21"))
    assert settings.protocol == protocol_of(protocol, "VOC21")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", 0), ("stride", 56), ("logit_scale", 1.5), ("prob_threshold", 0.0), ("area_threshold", 0.0),
        ("short_side", 0),
    ],
)  # fmt: skip
def test_what_the_user_gives_counts_even_if_it_is_zero(name, value):
    given = {} if name == "short_side" else {name: value}
    short_side = value if name == "short_side" else None
    settings = resolve(SegmentorOptions(**given), benchmark("VOC21"), short_side)
    published = protocol_of("sclip", "VOC21")
    assert getattr(published, name) != value
    assert settings.protocol == replace(published, **{name: value})


def test_uncertain_pixels_go_to_the_class_that_is_named():
    settings = resolve(SegmentorOptions(uncertain_class=3, prob_threshold=0.5), benchmark("VOC21"))
    assert settings.protocol == replace(protocol_of("sclip", "VOC21"), background=3, prob_threshold=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uncertain_class": 20, "prob_threshold": 0.5}, "is 20, but the 20 classes are 0 to 19"),
        ({"uncertain_class": 19}, "the threshold is 0, so that there are none"),
    ],
)
def test_a_class_for_uncertain_pixels_must_be_there_and_have_a_threshold(options, message):
    with pytest.raises(ConfigError, match=message):
        resolve(SegmentorOptions(**options), benchmark("VOC20"))


def test_numbers_that_the_user_gives_to_a_part_count_and_only_the_others_are_filled():
    part = LastBlock("naclip", rcs=ResidualAttention(tau=3.0), sfr=SemanticFeedback(lam=0.0, logit_scale=7.0))
    decoder = resolve(SegmentorOptions(decoder=part, logit_scale=50.0), benchmark("VOC20")).decoder
    published = numbers_of("SemanticFeedback", "VOC20")
    assert (decoder.rcs.tau, decoder.rcs.lam) == (3.0, numbers_of("ResidualAttention", "VOC20")["lam"])
    assert (decoder.sfr.tau, decoder.sfr.lam, decoder.sfr.logit_scale) == (published["tau"], 0.0, 7.0)


def test_feedback_takes_the_scale_that_the_user_gives_to_the_head():
    settings = resolve(SegmentorOptions(decoder=RESCLIP, logit_scale=50.0), benchmark("VOC20"))
    assert settings.decoder.sfr.logit_scale == settings.protocol.logit_scale == 50.0


def test_every_choice_is_spelled_out():
    settings = resolve(SegmentorOptions(decoder=LastBlock("clearclip"), refiners=[PAMR(), DenseCRF()]), OWN)
    assert settings.decoder == LastBlock("clearclip", residual=False, rcs=None, sfr=None)
    assert settings.refiners == (PAMR(), DenseCRF())
    assert settings.parts == [settings.decoder, *settings.refiners]
    assert (settings.prior, settings.upsampler) == (None, None)
    assert len(settings.templates) == 80
    protocol = settings.protocol
    assert [item.name for item in fields(Protocol) if getattr(protocol, item.name) is None] == ["class_file"]


def test_an_attention_with_numbers_of_its_own_keeps_them():
    settings = resolve(SegmentorOptions(decoder=LastBlock(NeighbourAttention(2.0))), benchmark("VOC20"))
    assert settings.decoder.attention == NeighbourAttention(2.0)


def test_own_classes_have_this_packages_constants_and_the_stand_ins():
    settings = resolve(SegmentorOptions(decoder=RESCLIP, protocol="clearclip"), OWN)
    assert settings.protocol == Protocol(short_side=336)
    assert vars(settings.decoder.rcs) == numbers_of("ResidualAttention", "COCOStuff")
    assert [note.split(" for ")[0] for note in settings.notes] == [
        "ResCLIP's authors publish no numbers of ResidualAttention",
        "ResCLIP's authors publish no numbers of SemanticFeedback",
    ]
    assert resolve(SegmentorOptions(), OWN).notes == ()


def test_an_added_background_brings_its_scale_and_threshold():
    own = resolve(SegmentorOptions(), OWN.with_background()).protocol
    assert (own.logit_scale, own.prob_threshold, own.short_side) == (50.0, 0.1, 336)
    stuff = resolve(SegmentorOptions(), benchmark("COCOStuff").with_background()).protocol
    assert (stuff.logit_scale, stuff.prob_threshold, stuff.short_side) == (50.0, 0.1, 448)
    assert resolve(SegmentorOptions(logit_scale=9.0), OWN.with_background()).protocol.logit_scale == 9.0


def test_stand_ins_are_noted_unless_the_user_gave_the_numbers():
    options = SegmentorOptions(decoder=RESCLIP, protocol="naclip")
    protocol, rcs, sfr = resolve(options, benchmark("COCOStuff10k")).notes
    assert protocol.startswith("No protocol of NACLIP's authors for COCOStuff10k")
    assert "ResidualAttention" in rcs
    assert "SemanticFeedback" in sfr
    given = LastBlock(rcs=ResidualAttention(2.0, 0.5), sfr=SemanticFeedback(2.0, 0.5, 0.1))
    assert resolve(SegmentorOptions(decoder=given), benchmark("COCOStuff10k")).notes == ()
    assert resolve(options, benchmark("COCOStuff")).notes == ()


def test_a_number_that_nobody_published_is_an_error_that_names_its_option(monkeypatch):
    """As if the file of ResCLIP had no stand-in."""
    common = {"first_layer": 6, "last_layer": 9}
    monkeypatch.setattr("sclip_lightning.model.settings.numbers_of", lambda part, benchmark: common)
    for vocabulary, words in ((benchmark("VOC20"), "VOC20"), (OWN, "these classes")):
        with pytest.raises(
            ConfigError,
            match=rf"nobody published tau and lam for {words}\. Give them to .* under --model\.decoder\.rcs",
        ):
            resolve(SegmentorOptions(decoder=LastBlock(rcs=True)), vocabulary)
    one = LastBlock(rcs=ResidualAttention(tau=2.0))
    with pytest.raises(ConfigError, match=r"published lam for VOC20\. Give it to ResidualAttention"):
        resolve(SegmentorOptions(decoder=one), benchmark("VOC20"))
    both = LastBlock(rcs=ResidualAttention(tau=2.0, lam=0.1))
    assert resolve(SegmentorOptions(decoder=both), benchmark("VOC20")).decoder.rcs == ResidualAttention(2.0, 0.1)


def test_protocols_that_are_not_there_and_windows_with_gaps_are_refused():
    with pytest.raises(ConfigError, match=r"SegEarth-OV's authors for VOC21.*--model\.protocol"):
        resolve(SegmentorOptions(protocol="segearth"), benchmark("VOC21"))
    with pytest.raises(ConfigError, match="no method 'slip'"):
        resolve(SegmentorOptions(protocol="slip"), benchmark("VOC21"))
    with pytest.raises(ConfigError, match=r"crop 100 and stride 112.*--model\.stride"):
        resolve(SegmentorOptions(crop=100), benchmark("VOC21"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {},
            r"--model.prob_threshold is 0.1 and --model.area_threshold is 0.1, but the logits of LPOSS are no cosines",
        ),
        ({"area_threshold": 0.0}, r"--model.prob_threshold is 0.1, but .* nobody published a threshold .* Set it to 0"),
        ({"prob_threshold": 0.0, "area_threshold": 0.0}, None),
        ({"prob_threshold": 0.0, "area_threshold": 0.0, "logit_scale": 90.0}, None),
    ],
)
def test_a_threshold_for_what_are_no_cosines_is_said(given, said):
    found = resolve(SegmentorOptions(refiners=[LPOSS(), PAMR()], **given), benchmark("VOC21")).warnings
    assert len(found) == (said is not None)
    assert not found or re.match(said, found[0])
    assert resolve(SegmentorOptions(refiners=[PAMR()], **given), benchmark("VOC21")).warnings == []
    for method in ("lposs", "lpossplus"):
        assert not protocol_of(method, "VOC21").prob_threshold
    both = SegmentorOptions(refiners=[LPOSS(), LPOSSPlus()], protocol="lposs", prob_threshold=0.3)
    assert "of LPOSS and LPOSSPlus are" in resolve(both, benchmark("VOC21")).warnings[0]
