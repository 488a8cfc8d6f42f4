"""Whatever labels depend on is in the description, so that results of different settings are never mixed."""

from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import pytest
import torch

from sclip_lightning.decoding import LastBlock, NeighbourAttention, ResidualAttention
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.description import describe_part, describe_segmentor
from sclip_lightning.model.head import Head
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.refine import LPOSS, PAMR, DenseCRF
from sclip_lightning.upsampling import LoftUp
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import Texts
from tests.part_cases import PARTS, made

VOCABULARY = Vocabulary.parse("cat, dog, grass, sky, tree")
#: What is not read off a part: the file of its weights, which their hash stands for.
UNSAID = {"weights"}


@pytest.fixture
def segmentor(example):
    """Builds a segmentor of options."""

    def build(seed=0, **options):
        settings = resolve(SegmentorOptions(weights=None, **options), VOCABULARY)
        torch.manual_seed(seed)
        networks = load_networks(SimpleNamespace(model=example.model), settings.parts)
        return build_segmentor(networks, Texts(example.queries, example.classes), settings)

    return build


def test_a_segmentor_in_words(segmentor):
    decoder = LastBlock("naclip", rcs=ResidualAttention(2.0, 0.4))
    found = describe_segmentor(segmentor(decoder=decoder, refiners=[PAMR(2)], crop=64, stride=32))
    assert found == {
        "names": 8,
        "crop": 64,
        "stride": 32,
        "padding": "-",
        "decoder": "LastBlock",
        "attention": "naclip",
        "residual": False,
        "rcs": "ResidualAttention (tau 2.0, lam 0.4, first_layer 6, last_layer 9)",
        "sfr": "off",
        "padded": False,
        "logit_scale": 40.0,
        "prob_threshold": 0.0,
        "area_threshold": 0.0,
        "background": 0,
        "steps": "PAMR (iterations 2, dilations (8, 16))",
    }


def test_whole_images_have_no_windows(segmentor):
    found = describe_segmentor(segmentor(crop=0))
    assert (found["crop"], found["stride"], found["steps"]) == ("whole image", "-", "none")


def test_an_attention_with_numbers_says_them(segmentor):
    found = describe_segmentor(segmentor(decoder=LastBlock(NeighbourAttention(2.0))))
    assert found["attention"] == "NeighbourAttention (std 2.0)"


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": 0}, {"crop": 160}, {"stride": 56}, {"logit_scale": 41.0}, {"prob_threshold": 0.1},
        {"area_threshold": 0.1}, {"decoder": LastBlock("vanilla")}, {"decoder": LastBlock(residual=False)},
        {"refiners": [PAMR()]}, {"refiners": [LPOSS(None)]}, {"refiners": [PAMR(), DenseCRF()]},
        {"upsampler": LoftUp(weights=None)},
    ],
    ids=str,
)  # fmt: skip
def test_every_choice_changes_the_description(segmentor, changes):
    assert describe_segmentor(segmentor(**changes)) != describe_segmentor(segmentor())


def test_how_many_windows_pass_at_once_does_not(segmentor):
    assert describe_segmentor(segmentor(window_batch_size=1)) == describe_segmentor(segmentor())


def test_padding_and_the_class_of_uncertain_pixels_are_said(segmentor, example):
    plain = segmentor()

    def build(**options):
        head = options.pop("head", plain.head)
        texts = Texts(example.queries, example.classes)
        return SlidingWindowSegmentor(plain.networks, texts, plain.decoder, head, **options)

    assert describe_segmentor(build()) == describe_segmentor(plain)
    assert describe_segmentor(build(padding=16))["padding"] == 16
    assert describe_segmentor(build(head=Head(40.0, background=2)))["background"] == 2


def test_weights_of_a_network_are_said_by_their_hash_not_by_their_file(segmentor):
    upsampler = LoftUp(weights=None)
    one, same, other = (describe_segmentor(segmentor(seed, upsampler=upsampler)) for seed in (0, 0, 1))
    assert one == same
    assert {key for key in one if one[key] != other[key]} == {"loftup_sha256"}
    assert describe_part(upsampler) == describe_part(LoftUp())


@pytest.mark.parametrize("name", PARTS)
def test_every_number_of_every_part_is_said(name):
    part, words = made(name), describe_part(made(name))
    assert words.startswith(name)
    said = [field.name for field in fields(part) if field.name not in UNSAID]
    assert [field for field in said if f"{field} " not in words] == []


@dataclass(frozen=True)
class Deaf(LastBlock):
    """A decoder with a number of its own."""

    volume: float = 1.0


def test_a_newcomers_numbers_are_said_without_a_line_for_them(segmentor):
    found = describe_segmentor(segmentor(decoder=replace(Deaf(), volume=2.0)))
    assert (found["decoder"], found["volume"]) == ("Deaf", 2.0)
