import pytest
import torch

from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.model.head import Head
from tests.builders import build_head, build_segmentor
from tests.recordings import SCLIP, sclip


def recorded_segmentor(head=None):
    """SCLIP as recorded."""
    recorded = sclip()
    windows = {"crop": recorded.crop, "stride": recorded.stride}
    return build_segmentor(recorded.model, recorded.queries, recorded.classes, "sclip", head=head, **windows)


def recorded_size():
    """Height and width of the recorded output."""
    return tuple(SCLIP["config/ori_shape"].tolist())


@SCLIP.each("crop/csa_logits")
def test_crop_logits_match_the_recording():
    recorded, expected = sclip(), SCLIP.tensor("crop/csa_logits")
    logits = recorded_segmentor().logits(recorded.image[..., : recorded.crop, : recorded.crop])
    step = recorded.crop // expected.shape[-1]
    torch.testing.assert_close(logits[..., ::step, ::step], expected, atol=1e-4, rtol=0)


@SCLIP.each("slide/logits_sub{step}")
def test_slide_logits_match_the_recording(step):
    logits = recorded_segmentor().logits(sclip().image, recorded_size())[..., :: int(step), :: int(step)]
    torch.testing.assert_close(logits, SCLIP.tensor(f"slide/logits_sub{step}"), atol=1e-4, rtol=0)


@SCLIP.each("slide/pred_scale{scale}_thd{threshold}_area{area}")
def test_labels_match_the_recording(scale, threshold, area):
    labels = recorded_segmentor(build_head(scale, threshold, area)).predict(sclip().image, recorded_size())[0]
    expected = SCLIP.tensor(f"slide/pred_scale{scale}_thd{threshold}_area{area}")
    assert (labels == expected).float().mean() >= 0.9999


@pytest.fixture
def build(example):
    def build(head=None, **windows):
        return build_segmentor(example.model, example.queries, example.classes, "sclip", head=head, **windows)

    return build


@pytest.fixture
def image(example):
    return example.image


@pytest.mark.slow
def test_windows_and_images_in_one_batch_equal_one_by_one(build, image):
    images = torch.cat([image, image.flip(-1)])
    at_once = build(window_batch_size=64).logits(images, (150, 200))
    one_window = build(window_batch_size=1)
    one_by_one = torch.cat([one_window.logits(images[i : i + 1], (150, 200)) for i in range(2)])
    torch.testing.assert_close(at_once, one_by_one, atol=1e-5, rtol=0)


def test_predict_is_the_argmax_of_probabilities(build, image):
    segmentor = build(Head(40.0))
    probabilities = segmentor.probabilities(image, (90, 120))
    assert probabilities.shape == (1, 5, 90, 120)
    assert torch.equal(segmentor.predict(image, (90, 120)), probabilities.argmax(dim=1))


def test_similarity_stays_in_float32_under_autocast(build, image):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = build().logits(image, (60, 80))
    assert logits.dtype == torch.float32
    assert (logits != logits.bfloat16()).float().mean() > 0.9


def test_output_size_defaults_to_the_image(build, image):
    assert build().predict(image[..., :100, :120]).shape == (1, 100, 120)
    assert build(crop=0).predict(image[..., :100, :120]).shape == (1, 100, 120)


def test_image_below_one_patch_is_refused(build, image):
    with pytest.raises(DataError, match="8 x 300 pixels"):
        build().predict(image[..., :8, :300])


def test_numbers_that_cannot_work_are_refused(build):
    with pytest.raises(ConfigError, match="stride"):
        build(crop=112, stride=113)
    with pytest.raises(ConfigError, match="window_batch_size"):
        build(window_batch_size=0)
