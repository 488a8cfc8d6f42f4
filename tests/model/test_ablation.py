"""Rows of an ablation: what they are called, where they go and what they switch off."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sclip_lightning.decoding import ClassTokenShare, LastBlock, NeighbourAttention, ResidualAttention, SemanticFeedback
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.ablation import ablation_rows
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.refine import LPOSS, PAMR, DenseCRF
from sclip_lightning.upsampling import LoftUp

#: As configs/phase1.yaml has it.
PHASE1 = SegmentorOptions(
    decoder=LastBlock("sclip", rcs=True, sfr=True), upsampler=LoftUp(), refiners=[DenseCRF()], logit_scale=50.0
)
#: Everything of it switched off, and all that a row of it may have.
OFF = replace(PHASE1, decoder=LastBlock("sclip"), upsampler=None, refiners=None)
RESCLIP = {"decoder": LastBlock("sclip", rcs=True, sfr=True)}
LOFTUP, CRF = {"upsampler": LoftUp()}, {"refiners": [DenseCRF()]}
ROWS = {
    "vanilla attention": ("vanilla", {"decoder": LastBlock("vanilla")}),
    "baseline": ("baseline", {}),
    "+ ResCLIP": ("resclip", RESCLIP),
    "+ LoftUp": ("loftup", LOFTUP),
    "+ DenseCRF": ("densecrf", CRF),
    "+ ResCLIP + LoftUp": ("resclip-loftup", RESCLIP | LOFTUP),
    "+ ResCLIP + LoftUp + DenseCRF": ("resclip-loftup-densecrf", RESCLIP | LOFTUP | CRF),
}


def names(options):
    return [row.name for row in ablation_rows(options)]


def folders(options):
    return [row.folder for row in ablation_rows(options)]


def settled(options):
    """The same with the decoder's choices spelled out: a part that is off is None or false."""
    return replace(options, decoder=options.decoder.settled(), refiners=options.refiners or None)


def test_rows_of_phase_1():
    rows = ablation_rows(PHASE1)
    assert [(row.name, row.folder) for row in rows] == [(name, folder) for name, (folder, _) in ROWS.items()]
    for row in rows:
        assert settled(row.apply(PHASE1)) == settled(replace(OFF, **ROWS[row.name][1]))
    assert rows[-1].apply(PHASE1) == PHASE1
    assert rows[-1].changes == {}


def test_the_guide_has_these_rows():
    page = (Path(__file__).parents[2] / "docs/guide.md").read_text()
    table = page.split("## The demo")[1]
    assert re.findall(r"^\| ([^|]*\w[^|]*) \| [\d.]+[^|]*\| [\d.]+", table, re.MULTILINE)[: len(ROWS)] == list(ROWS)


def test_a_single_part_has_three_rows():
    options = SegmentorOptions(decoder=LastBlock("naclip"), refiners=[PAMR()])
    assert names(options) == ["vanilla attention", "baseline", "+ PAMR"]
    assert folders(options) == ["vanilla", "baseline", "pamr"]


def test_vanilla_attention_is_not_compared_with_itself():
    options = SegmentorOptions(decoder=LastBlock("vanilla", rcs=True))
    assert names(options) == ["baseline", "+ RCS"]


def test_the_vanilla_row_has_the_residual_connections_of_clip():
    decoder = LastBlock(NeighbourAttention(2.0), residual=False, sfr=SemanticFeedback(2.0))
    vanilla, baseline, feedback = ablation_rows(SegmentorOptions(decoder=decoder))
    assert vanilla.apply(SegmentorOptions(decoder=decoder)).decoder.settled() == LastBlock("vanilla").settled()
    assert baseline.apply(SegmentorOptions(decoder=decoder)).decoder == replace(decoder, sfr=False)
    assert feedback.name == "+ SFR"


def test_half_of_a_method_does_not_take_its_name():
    assert names(SegmentorOptions(decoder=LastBlock(sfr=True)))[-1] == "+ SFR"
    given = LastBlock(rcs=ResidualAttention(2.0, 0.1), sfr=True)
    assert names(SegmentorOptions(decoder=given))[-1] == "+ ResCLIP"


def test_everything_else_that_can_be_switched_off_is_a_part():
    options = SegmentorOptions(prior=ClassTokenShare(), upsampler=LoftUp(), refiners=[LPOSS(), PAMR()])
    assert names(options)[2:] == [
        "+ ClassTokenShare",
        "+ LoftUp",
        "+ LPOSS, PAMR",
        "+ ClassTokenShare + LoftUp",
        "+ ClassTokenShare + LoftUp + LPOSS, PAMR",
    ]
    assert folders(options)[-1] == "classtokenshare-loftup-lposs-pamr"


def test_options_that_are_no_part_stay():
    options = replace(PHASE1, crop=0, templates="none", protocol="resclip")
    for row in ablation_rows(options):
        applied = row.apply(options)
        assert (applied.crop, applied.templates, applied.protocol, applied.logit_scale) == (0, "none", "resclip", 50.0)


@pytest.mark.parametrize("refiners", [None, []])
def test_nothing_to_ablate_is_refused(refiners):
    with pytest.raises(ConfigError, match=r"nothing to ablate.*--model\.refiners.*phase1\.yaml"):
        ablation_rows(SegmentorOptions(refiners=refiners))
