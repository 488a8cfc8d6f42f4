import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers.clip import VisionTower


@pytest.fixture
def build(sclip_golden):
    model, golden = sclip_golden
    tower = VisionTower(model.visual, "sclip")
    queries, classes = torch.from_numpy(golden["text_features"]), torch.from_numpy(golden["query_idx"]).long()
    return lambda head=None, **options: SlidingWindowSegmentor(tower, queries, classes, head or Head(40.0), **options)


@pytest.fixture
def image(sclip_golden):
    return torch.from_numpy(sclip_golden[1]["image"])


def test_crop_logits_match_the_recording(sclip_golden, build, image):
    logits = build().logits(image[..., :224, :224])
    expected = torch.from_numpy(sclip_golden[1]["crop/csa_logits"])
    torch.testing.assert_close(logits[..., ::8, ::8], expected, atol=1e-4, rtol=0)


def test_slide_logits_match_the_recording(sclip_golden, build, image):
    logits = build().logits(image, (300, 400))
    expected = torch.from_numpy(sclip_golden[1]["slide/logits_sub4"])
    torch.testing.assert_close(logits[..., ::4, ::4], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("head", "key"),
    [
        (Head(40.0), "slide/pred_scale40_thd0.0_areaNone"),
        (Head(65.0, 0.1), "slide/pred_scale65_thd0.1_areaNone"),
        (Head(65.0, 0.1, 0.1), "slide/pred_scale65_thd0.1_area0.1"),
    ],
)
def test_labels_match_the_recording(sclip_golden, build, image, head, key):
    labels = build(head).predict(image, (300, 400))[0]
    assert (labels == torch.from_numpy(sclip_golden[1][key])).float().mean() >= 0.9999


@pytest.mark.parametrize(
    ("attention", "residual", "key"),
    [
        ("vanilla", True, "vanilla_w_resi"),
        ("sclip", True, "sclip_w_resi"),
        ("clearclip", False, "clearclip_wo_resi"),
        ("naclip", False, "naclip_wo_resi"),
    ],
)
def test_slide_of_every_variant_matches_the_recording(resclip_golden, resclip_image, attention, residual, key):
    model, golden = resclip_golden
    queries, classes = torch.from_numpy(golden["text/features"]), torch.from_numpy(golden["text/query_idx"]).long()
    segmentor = SlidingWindowSegmentor(VisionTower(model.visual, attention, residual), queries, classes, Head(40.0))
    logits = segmentor.logits(resclip_image)[0]
    expected = torch.from_numpy(golden[f"slide/{key}/base/logits"])
    torch.testing.assert_close(logits[:, 5::16, 11::16], expected, atol=5e-6, rtol=0)
    argmax = torch.from_numpy(golden[f"slide/{key}/base/argmax"])
    assert (logits.argmax(dim=0) == argmax).float().mean() >= 0.999


def test_whole_image_on_another_grid_matches_the_recording(resclip_golden, resclip_image):
    model, golden = resclip_golden
    tower = VisionTower(model.visual, "naclip")
    tokens = F.normalize(tower(resclip_image)[0, 1:], dim=-1)
    logits = (tokens @ torch.from_numpy(golden["text/features"]).T).T.reshape(8, 21, 28)
    expected = torch.from_numpy(golden["whole/naclip_wo_resi/base/patch_logits"])
    torch.testing.assert_close(logits, expected, atol=5e-6, rtol=0)


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
