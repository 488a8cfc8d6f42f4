"""Maps of photographs are refined at a bounded size, labels made at the image's own, in bands of rows."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.engine import wiring
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.refining import REFINE_SIDE, at_size, refined_size
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.predicting.job import protocol_of
from sclip_lightning.refine import PAMR, DenseCRF, RegionVote
from sclip_lightning.segmentor import Segmentor
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import Scene, Texts, Windows, resized, window_grid
from tests.builders import build_head, build_segmentor

#: Of labels; maps are refined with a short side of 24 pixels.
SIZE, SIDE, SMALL = (60, 81), 24, (24, 32)


@pytest.fixture
def rgb():
    return torch.randint(0, 256, (3, *SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def build(example):
    def build(*refiners, head=None, **options) -> SlidingWindowSegmentor:
        made = build_segmentor(example.model, example.queries, example.classes, refiners=refiners, head=head, **options)
        return made.segmentor

    return build


@pytest.mark.parametrize("size", [(1024, 2048), (2048, 1024), (375, 500), (512, 2100), (128, 128)])
def test_no_benchmarks_image_is_bounded(size):
    assert refined_size(size, REFINE_SIDE) == size


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((3024, 4032), 1024, (1024, 1365)),
        ((4032, 3024), 1024, (1365, 1024)),
        ((1000, 8000), 1024, (512, 4096)),  # two squares
        ((1, 100_000), 8, (1, 3578)),
        ((3024, 4032), 0, (3024, 4032)),
        ((SIZE), SIDE, SMALL),
    ],
)
def test_larger_ones_are(size, side, expected):
    assert refined_size(size, side) == expected


def test_refiners_see_the_smaller_image_and_its_segments(rgb):
    grid = window_grid(*SIZE, 0, 1)
    pixels, regions = torch.zeros(3, *SIZE), torch.arange(SIZE[0])[:, None].expand(SIZE)
    scene = Scene(pixels, SIZE, Windows(pixels, grid, 1), Texts(pixels[0], pixels[0, 0].long()), {}, rgb, regions)
    small = at_size(scene, SMALL)
    assert small.output_size == SMALL and small.rgb.shape == (3, *SMALL) and small.pixels is pixels
    averaged = F.interpolate(rgb[None].float(), SMALL, mode="bilinear", antialias=True)[0]
    assert (small.rgb.float() - averaged).abs().max() <= 0.5
    assert small.regions[:, 0].tolist() == [row * SIZE[0] // SMALL[0] for row in range(SMALL[0])]
    assert at_size(scene, SIZE) is scene


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refiner", "head"), [(PAMR(2, (1,)), (40.0, 0.0, 0.0)), (DenseCRF(iterations=2), (40.0, 0.3, 0.05))]
)
def test_labels_in_bands_are_those_of_the_whole_map(build, example, rgb, monkeypatch, refiner, head):
    segmentor = build(refiner, head=build_head(*head))
    segmentor.refine_side = SIDE
    whole = segmentor.predict(example.image[0], SIZE, rgb)
    monkeypatch.setattr(resized, "CPU_BLOCK", 1)
    bands = segmentor.predict(example.image[0], SIZE, rgb)
    assert torch.equal(bands.labels, whole.labels)
    assert torch.equal(bands.probabilities, whole.probabilities)
    assert torch.equal(whole.labels, segmentor.head.labels_from_probabilities(whole.probabilities))
    # What is brought to the image's size are the maps that the refiner makes at the smaller one.
    small = segmentor.predict(example.image[0], SMALL, at_size(segmentor.scene(example.image[0], SIZE, rgb), SMALL).rgb)
    expected = F.interpolate(small.probabilities[None], SIZE, mode="bilinear")[0]
    torch.testing.assert_close(whole.probabilities, expected, atol=1e-5, rtol=0)
    assert len(whole.labels.unique()) > 1


@pytest.mark.slow
def test_nothing_changes_below_the_bound_nor_without_maps(build, example, rgb):
    image = example.image[0]
    at_once = build(DenseCRF(iterations=2))
    expected = at_once.predict(image, SIZE, rgb).labels
    at_once.refine_side = 0
    assert torch.equal(at_once.predict(image, SIZE, rgb).labels, expected)
    plain = build(RegionVote(None))
    regions = torch.zeros(SIZE, dtype=torch.int64)
    expected = plain.predict(image, SIZE, rgb, regions).labels
    plain.refine_side = 8
    assert torch.equal(plain.predict(image, SIZE, rgb, regions).labels, expected)
    assert not plain.refines_maps


def test_it_belongs_to_the_protocol_where_it_took_effect(build):
    """Of a benchmark whose images are all smaller, earlier runs can be gone on with."""
    clip = SimpleNamespace(architecture="", configuration_sha256="", weights=None, fingerprint="")
    benchmark = SimpleNamespace(classes=("a",), class_file="", class_file_sha256="")
    data = SimpleNamespace(benchmark=benchmark, describe_data=dict, resolved_short_side=1, resolved_long_side=1)

    def described(segmentor, *sizes):
        found = wiring.describe_protocol(clip, segmentor, SegmentorOptions(), data, "32-true", sizes)
        return found.get("refine_side")

    refining = build(PAMR())
    assert described(refining, (1024, 2048)) is None
    assert described(refining, (375, 500), (1100, 1100)) == REFINE_SIDE
    assert described(build(), (3024, 4032)) is None
    refining.refine_side = 0
    assert described(refining, (3024, 4032)) is None


def test_and_to_that_of_predictions_whose_images_may_come_later(tiny_clip):
    segmentor = Segmentor.from_pretrained(tiny_clip, templates="none", refiners=[PAMR()], refine_side=99, device="cpu")
    vocabulary = Vocabulary.parse("cat, dog")
    assert protocol_of(segmentor, vocabulary)["refine_side"] == 99
    assert "refine_side" not in protocol_of(segmentor.changed(refiners=None), vocabulary)
