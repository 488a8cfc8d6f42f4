"""Parts put together: in their order, each network loaded once, what does not fit refused."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sclip_lightning.decoding import ClassTokenShare, LastBlock, ProxyCLIP, ResidualAttention
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.head import Head
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.refine import LPOSS, PAMR, DenseCRF, RegionVote
from sclip_lightning.upsampling import LoftUp
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import SheetStep, Texts, WindowDecoder
from tests.tiny_dino import MICRO, MICRO_WITH_REGISTERS

VOCABULARY = Vocabulary.parse("cat, dog, grass, sky, tree")


@dataclass(frozen=True)
class FeaturesOnly(WindowDecoder):
    """A decoder without class token and values."""

    gives = ()

    def decode_windows(self, pixels, scene, keep_values):
        raise NotImplementedError


@dataclass(frozen=True)
class AnyGrid(SheetStep):
    """A sheet step that follows an upsampler; ``asks`` for a network."""

    asks: str = "second"
    number: int = 0

    @property
    def networks(self):
        return (self.asks,)

    def load_network(self, name, width):
        return nn.Linear(width, 1)

    def __call__(self, sheet, scene):
        return sheet


@pytest.fixture
def build(example):
    """Builds a segmentor of options, with LoftUp's random weights."""

    def build(**options):
        settings = resolve(SegmentorOptions(weights=None, **options), VOCABULARY)
        networks = load_networks(SimpleNamespace(model=example.model), settings.parts)
        return build_segmentor(networks, Texts(example.queries, example.classes), settings)

    return build


def test_steps_run_in_one_order_whatever_the_order_of_the_options(build):
    upsampler = LoftUp(weights=None)
    refiners = [LPOSS(None), AnyGrid(), PAMR(), DenseCRF(), RegionVote()]
    segmentor = build(refiners=refiners, upsampler=upsampler, prior=ClassTokenShare())
    assert segmentor.sheet_steps == (ClassTokenShare(), LPOSS(None), upsampler, AnyGrid())
    assert segmentor.map_steps == (PAMR(), DenseCRF(), RegionVote())
    assert segmentor.decoder == LastBlock().settled()


def test_without_parts_there_are_no_steps(build):
    segmentor = build()
    assert (segmentor.sheet_steps, segmentor.map_steps) == ((), ())
    assert list(segmentor.networks) == ["clip"]


def test_each_network_is_loaded_once_for_all_who_need_it(build, monkeypatch):
    loaded = []
    load = AnyGrid.load_network
    monkeypatch.setattr(AnyGrid, "load_network", lambda *a: loaded.append(a[1:]) or load(*a))
    segmentor = build(refiners=[AnyGrid(), AnyGrid(number=1), AnyGrid("third")])
    assert loaded == [("second", 64), ("third", 64)]
    assert list(segmentor.networks) == ["clip", "second", "third"]


def test_parts_that_name_the_same_network_share_it_whatever_they_call_it(build):
    both = build(decoder=ProxyCLIP(MICRO, None), refiners=[LPOSS(MICRO, None)], crop=64, stride=32)
    assert list(both.networks) == ["clip", "dino", "lposs"]
    assert both.networks["dino"] is both.networks["lposs"]
    others = build(decoder=ProxyCLIP(MICRO, None), refiners=[LPOSS(MICRO_WITH_REGISTERS, None)], crop=112, stride=56)
    assert (others.networks["dino"].architecture, others.networks["lposs"].architecture) == (
        MICRO,
        MICRO_WITH_REGISTERS,
    )


def test_one_name_for_two_networks_is_refused(build):
    twice = [LPOSS(MICRO, None, k=8), LPOSS(MICRO, None, k=9)]
    assert list(build(refiners=twice, crop=64, stride=32).networks) == ["clip", "lposs"]
    with pytest.raises(ConfigError, match=r"LPOSS \(--model\) would load two networks under the one name lposs"):
        build(refiners=[*twice, LPOSS(MICRO_WITH_REGISTERS, None)])

    class Namesake(AnyGrid):
        pass

    with pytest.raises(ConfigError, match=r"AnyGrid and Namesake \(--model\) would load two .* name second"):
        build(refiners=[AnyGrid(), Namesake()])


def test_the_tower_shares_its_parameters_with_clip(build, example):
    expected = {id(parameter) for parameter in example.model.visual.parameters()}
    assert {id(parameter) for parameter in build().networks["clip"].parameters()} == expected


@pytest.mark.parametrize(
    ("options", "step", "lacking"),
    [
        ({"prior": ClassTokenShare()}, "ClassTokenShare", "class token"),
        ({"refiners": [LPOSS(None)]}, "LPOSS", "values"),
        ({"upsampler": LoftUp(weights=None)}, "LoftUp", "values"),
    ],
)
def test_a_decoder_that_does_not_give_what_a_step_needs_is_refused(build, options, step, lacking):
    with pytest.raises(
        ConfigError, match=rf"{step} needs the {lacking}, which FeaturesOnly does not.*--model\.decoder"
    ):
        build(decoder=FeaturesOnly(), **options)
    assert build(decoder=FeaturesOnly(), refiners=[PAMR()]).decoder == FeaturesOnly()


def test_parts_that_do_not_fit_the_tower_are_refused(build):
    too_deep = replace(ResidualAttention(), tau=1.0, lam=0.5, last_layer=12)
    with pytest.raises(ConfigError, match="layers 6 to 12, but this tower has 12"):
        build(decoder=LastBlock(rcs=too_deep))
    with pytest.raises(ConfigError, match=r"17 positions per patch.*--model\.upsampler\.scale"):
        build(upsampler=LoftUp(weights=None, scale=17))


def test_numbers_reach_the_segmentor(build):
    segmentor = build(crop=96, stride=48, window_batch_size=3, logit_scale=7.0, prob_threshold=0.2, area_threshold=0.3)
    assert (segmentor.crop, segmentor.stride, segmentor.window_batch_size) == (96, 48, 3)
    assert segmentor.head == Head(7.0, 0.2, 0.3, background=0)


def test_the_class_that_uncertain_pixels_get_reaches_the_head(example):
    settings = resolve(SegmentorOptions(weights=None), VOCABULARY)
    settings = replace(settings, protocol=replace(settings.protocol, background=4))
    networks = load_networks(SimpleNamespace(model=example.model), settings.parts)
    segmentor = build_segmentor(networks, Texts(example.queries, example.classes), settings)
    assert segmentor.head.background == 4


def test_it_segments(build, example):
    segmentor = build(prior=ClassTokenShare(), refiners=[LPOSS(MICRO, None, k=20), PAMR(1)], crop=160, stride=80)
    plain, image = build(), example.image[0, :, :240, :272]
    labels = segmentor.predict(image).labels
    assert labels.shape == (240, 272)
    assert not torch.equal(labels, plain.predict(image).labels)
