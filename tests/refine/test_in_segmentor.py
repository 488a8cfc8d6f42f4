"""Refiners between the merged logits and the labels."""

import pytest
import torch

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import PAMR, Bilateral, DenseCRF
from sclip_lightning.refine.densecrf import dense_crf
from sclip_lightning.refine.pamr import pamr
from tests.builders import build_head, build_segmentor, guide
from tests.recordings import SCLIP, sclip

SIZE = (60, 80)


@pytest.fixture
def build(example):
    def build(*refiners):
        return build_segmentor(example.model, example.queries, example.classes, refiners=refiners)

    return build


@pytest.fixture
def image(example):
    return example.image


@pytest.fixture
def rgb():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 6, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 255).byte()


@SCLIP.each("slide_pamr/pred_scale{scale}_thd{threshold}_area{area}")
def test_pamr_labels_match_sclips_recording(scale, threshold, area):
    recorded, size = sclip(), tuple(SCLIP["config/ori_shape"].tolist())
    options = {"crop": recorded.crop, "stride": recorded.stride, "head": build_head(scale, threshold, area)}
    segmentor = build_segmentor(recorded.model, recorded.queries, recorded.classes, refiners=[PAMR()], **options)
    expected = SCLIP.tensor(f"slide_pamr/pred_scale{scale}_thd{threshold}_area{area}")
    assert (segmentor.predict(recorded.image, size)[0] == expected).float().mean() >= 0.9999


@pytest.mark.slow
def test_refiners_run_in_order_each_on_its_maps(build, image, rgb):
    crf = DenseCRF(iterations=3)
    segmentor = build(PAMR(2, (1,)), crf, Bilateral())
    plain = build()
    logits = plain.logits(image, SIZE)
    pixels = torch.nn.functional.interpolate(image, SIZE, mode="bilinear")
    maps = plain.head.probabilities(pamr(logits, pixels, 2, (1,))[0], plain.query_classes)
    expected = Bilateral()(dense_crf(maps, rgb[0], iterations=3), guide(rgb[0]))
    probabilities = segmentor.probabilities(image, SIZE, rgb)[0]
    torch.testing.assert_close(probabilities, expected)
    assert torch.equal(segmentor.predict(image, SIZE, rgb)[0], expected.argmax(dim=0))


@pytest.mark.slow
def test_each_refiner_changes_the_labels(build, image, rgb):
    plain = build().predict(image, SIZE)
    for refiner in (PAMR(), DenseCRF(), Bilateral()):
        assert not torch.equal(build(refiner).predict(image, SIZE, rgb), plain)


def test_logits_come_before_probabilities(build):
    with pytest.raises(ConfigError, match=r"DenseCRF \(probabilities\), PAMR \(logits\)"):
        build(DenseCRF(), PAMR())


def test_the_image_must_be_given(build, image):
    build(PAMR()).predict(image, SIZE)
    with pytest.raises(ConfigError, match="rgb"):
        build(DenseCRF()).predict(image, SIZE)


def test_refiners_compute_in_float32_under_autocast(build, image, rgb):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        probabilities = build(PAMR(), DenseCRF()).probabilities(image, SIZE, rgb)
    assert probabilities.dtype == torch.float32
    assert (probabilities != probabilities.bfloat16()).float().mean() > 0.5
