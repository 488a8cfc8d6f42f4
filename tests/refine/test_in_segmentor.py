"""Refiners between the merged logits and the labels."""

import pytest
import torch

from sclip_lightning.decoding.feedback import SemanticFeedback
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.refine import PAMR, Bilateral, DenseCRF
from sclip_lightning.refine.densecrf import dense_crf
from sclip_lightning.refine.pamr import pamr
from sclip_lightning.towers.clip import VisionTower

SIZE = (60, 80)


@pytest.fixture
def build(sclip_golden):
    model, golden = sclip_golden
    queries, classes = torch.from_numpy(golden["text_features"]), torch.from_numpy(golden["query_idx"]).long()

    def build(*refiners, head=None):
        return SlidingWindowSegmentor(
            VisionTower(model.visual), queries, classes, head or Head(40.0), refiners=refiners
        )

    return build


@pytest.fixture
def image(sclip_golden):
    return torch.from_numpy(sclip_golden[1]["image"])


@pytest.fixture
def rgb():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 6, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 255).byte()


@pytest.mark.parametrize(
    ("head", "key"),
    [
        (Head(40.0), "pred_scale40_thd0.0_areaNone"),
        (Head(65.0, 0.1), "pred_scale65_thd0.1_areaNone"),
        (Head(65.0, 0.1, 0.1), "pred_scale65_thd0.1_area0.1"),
    ],
)
def test_pamr_labels_match_sclips_recording(sclip_golden, build, image, head, key):
    labels = build(PAMR(), head=head).predict(image, (300, 400))[0]
    assert (labels == torch.from_numpy(sclip_golden[1][f"slide_pamr/{key}"])).float().mean() >= 0.9999


def test_pamr_after_resclip_matches_the_recording(resclip_golden, resclip_image):
    model, golden = resclip_golden
    queries, classes = torch.from_numpy(golden["text/features"]), torch.from_numpy(golden["text/query_idx"]).long()
    tower = VisionTower(model.visual, "naclip", residual_attention=ResidualAttention(2.0, 0.4))
    feedback = SemanticFeedback(1.8, 0.7, 0.25)
    segmentor = SlidingWindowSegmentor(tower, queries, classes, Head(40.0, 0.3), feedback=feedback, refiners=[PAMR()])
    probabilities = segmentor.probabilities(resclip_image, (240, 320))[0]
    probabilities = (probabilities / probabilities.sum(dim=0))[:, 5::16, 11::16]
    recorded = torch.from_numpy(golden["predict/slide_pamr/probs"])
    torch.testing.assert_close(probabilities, recorded, atol=1e-3, rtol=0)
    labels = segmentor.predict(resclip_image, (240, 320))[0]
    assert (labels == torch.from_numpy(golden["predict/slide_pamr/pred"])).float().mean() >= 0.999


def test_refiners_run_in_order_each_on_its_maps(build, image, rgb):
    crf = DenseCRF(iterations=3)
    segmentor = build(PAMR(2, (1,)), crf, Bilateral())
    plain = build()
    logits = plain.logits(image, SIZE)
    guide = torch.nn.functional.interpolate(image, SIZE, mode="bilinear")
    maps = plain.head.probabilities(pamr(logits, guide, 2, (1,))[0], plain.query_classes)
    expected = Bilateral()(dense_crf(maps, rgb[0], iterations=3), rgb[0])
    probabilities = segmentor.probabilities(image, SIZE, rgb)[0]
    torch.testing.assert_close(probabilities, expected)
    assert torch.equal(segmentor.predict(image, SIZE, rgb)[0], expected.argmax(dim=0))


def test_each_refiner_changes_the_labels(build, image, rgb):
    plain = build().predict(image, SIZE)
    for refiner in (PAMR(), DenseCRF(), Bilateral()):
        assert not torch.equal(build(refiner).predict(image, SIZE, rgb), plain)


def test_logits_come_before_probabilities(build):
    with pytest.raises(ConfigError, match=r"DenseCRF \(probabilities\), PAMR \(logits\)"):
        build(DenseCRF(), PAMR())


def test_the_image_must_be_given(build, image):
    build(PAMR()).predict(image, SIZE)
    with pytest.raises(ValueError, match="rgb"):
        build(DenseCRF()).predict(image, SIZE)


def test_refiners_compute_in_float32_under_autocast(build, image, rgb):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        probabilities = build(PAMR(), DenseCRF()).probabilities(image, SIZE, rgb)
    assert probabilities.dtype == torch.float32
    assert (probabilities != probabilities.bfloat16()).float().mean() > 0.5
