"""SegEarth-OV as a whole, against the recordings of the authors' code (tolerances: tests/goldens/README.md)."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.decoding import ClassTokenShare
from sclip_lightning.model.head import Head
from sclip_lightning.upsampling import ResizedFeatures
from sclip_lightning.windows import MergedLogits, Sheet, Texts, Tokens, window_grid
from tests.builders import build_segmentor, build_tower, decoded, scene_of
from tests.golden import Recording
from tests.recordings import Recorded, classes_of
from tests.tiny_clip import from_state

SEGEARTH = Recording("segearth")
#: Of features, cosines and logits as a share of the largest value; of probabilities; of labels the share that is equal.
LOGITS, PROBABILITIES, LABELS = 1e-5, 2e-5, 0.9999


@cache
def segearth(vocabulary=""):
    """The recording with its image and one of its two vocabularies, ``plain/`` being the other."""
    pixels = (SEGEARTH.tensor("image_u8").float() - SEGEARTH.tensor("mean")) / SEGEARTH.tensor("std")
    clip, windows = SEGEARTH.json()["_made"]["clip"], SEGEARTH.json()["slide/segearth"]
    return Recorded(
        from_state(SEGEARTH.state("sd/"), clip["heads"]),
        pixels.permute(2, 0, 1)[None],
        SEGEARTH.tensor(f"{vocabulary}text/features"),
        SEGEARTH.tensor(f"{vocabulary}text/query_idx").long(),
        windows["crop"],
        windows["stride"],
    )


def crop():
    """The window [1, 3, h, w] that single windows were recorded on."""
    top, bottom, left, right = SEGEARTH["crop_box_y0y1x0x1"].tolist()
    return segearth().image[..., top:bottom, left:right]


def recorded_segmentor(case, vocabulary="", **windows):
    """A case of the recording, by its key there."""
    meta, recorded = SEGEARTH.json()[case], segearth(vocabulary)
    like = SEGEARTH.json()["slide/segearth"] | meta  # images taken whole name neither attention nor window
    options = {"crop": like["crop"], "stride": like["stride"]} | windows
    patch = SEGEARTH.json()["_made"]["clip"]["patch"]
    return build_segmentor(
        recorded.model,
        recorded.queries,
        recorded.classes,
        like["model_type"].lower(),
        not like["ignore_residual"],
        steps=[
            *([ClassTokenShare(like["lam"])] if like["lam"] else []),
            *([ResizedFeatures(patch)] if like["feature_up"] else []),
        ],
        head=Head(like["logit_scale"], like["prob_thd"], background=like["bg_idx"]),
        padding=patch,
        **options,
    )


def assert_near(actual, expected):
    """Equal up to a share of the largest value."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= LOGITS * expected.abs().max()


def assert_case(case, segmentor, image):
    """Logits and probabilities where they were kept, and labels everywhere."""
    start, step = SEGEARTH.json()[case]["sub"]
    size, sampled = tuple(SEGEARTH.json()[case]["ori_shape"]), (..., slice(start, None, step), slice(start, None, step))
    assert_near(segmentor.logits(image, size)[0][sampled], SEGEARTH.tensor(f"{case}/logits"))
    probabilities = segmentor.probabilities(image, size)[0][sampled]
    torch.testing.assert_close(probabilities, SEGEARTH.tensor(f"{case}/probs"), atol=PROBABILITIES, rtol=0)
    assert_labels(segmentor, image, SEGEARTH.tensor(f"{case}/labels"))


def assert_labels(segmentor, image, expected):
    labels = segmentor.predict(image, tuple(expected.shape))[0]
    assert (labels == expected).float().mean() >= LABELS


@SEGEARTH.each("crop/{attention}_{residual}_resi/features")
def test_tokens_of_a_window_match_the_recording(attention, residual):
    key, recorded = f"crop/{attention}_{residual}_resi", segearth()
    tokens = decoded(build_tower(recorded.model, attention.lower(), residual == "w"), crop())
    assert_near(tokens.features[0].flatten(0, 1), SEGEARTH.tensor(f"{key}/features"))
    assert_near(tokens.class_token[0], SEGEARTH.tensor(f"{key}/class_token"))
    class_cosines = F.normalize(tokens.class_token[0], dim=-1) @ recorded.queries.T
    assert_near(class_cosines, SEGEARTH.tensor(f"{key}/class_cosines"))


@SEGEARTH.each("crop/{attention}_{residual}_resi/patch_cosines")
def test_the_class_tokens_share_of_a_window_matches_the_recording(attention, residual):
    key, recorded, weight = f"crop/{attention}_{residual}_resi", segearth(), SEGEARTH.json()["slide/segearth"]["lam"]
    expected = SEGEARTH.tensor(f"{key}/patch_cosines") + weight * SEGEARTH.tensor(f"{key}/class_cosines")
    names = (recorded.queries, recorded.classes, attention.lower(), residual == "w")
    segmentor = build_segmentor(recorded.model, *names, steps=[ClassTokenShare(weight)], crop=0).segmentor
    sheet = segmentor.sheet(segmentor.scene(crop()[0]))
    assert_near(sheet.logits[0].flatten(0, 1), expected)


@SEGEARTH.each("crop/{attention}_{residual}_resi/logits_{kind}")
def test_logits_of_a_window_match_the_recording(attention, residual, kind):
    """With the class token's share, or without where the key says ``nobias``; every so many pixels from the middle."""
    weight, recorded, step = SEGEARTH.json()["slide/segearth"]["lam"], segearth(), int(kind.rpartition("sub")[2])
    steps = [] if kind.startswith("nobias") else [ClassTokenShare(weight)]
    names = (recorded.queries, recorded.classes, attention.lower(), residual == "w")
    logits = build_segmentor(recorded.model, *names, steps=steps, crop=0).logits(crop())[0]
    first = (step - 1) // 2
    expected = SEGEARTH.tensor(f"crop/{attention}_{residual}_resi/logits_{kind}")
    assert_near(logits[:, first::step, first::step], expected)


@SEGEARTH.each("slide/{name}/logits")
def test_sliding_windows_match_the_recording(name):
    case = f"slide/{name}"
    assert_case(case, recorded_segmentor(case), segearth().image)


@SEGEARTH.each("plain/slide/{name}/logits")
def test_names_without_synonyms_match_the_recording(name):
    case = f"plain/slide/{name}"
    assert_case(case, recorded_segmentor(case, "plain/"), segearth().image)


@SEGEARTH.each("feature_up_bilinear/{name}/logits")
def test_resized_features_match_the_recording(name):
    case = f"feature_up_bilinear/{name}"
    assert SEGEARTH.json()[case]["feature_up"]
    assert_case(case, recorded_segmentor(case), segearth().image)


@SEGEARTH.each("small/{name}/logits")
def test_a_padded_window_matches_the_recording(name):
    made = SEGEARTH.json()["_made"]
    height, width = made["small_size"]
    assert height % made["clip"]["patch"] or width % made["clip"]["patch"]
    case = f"small/{name}"
    assert_case(case, recorded_segmentor(case), segearth().image[..., :height, :width])


@SEGEARTH.each("whole/{name}/labels")
def test_a_whole_image_matches_the_recording(name):
    """The authors resize its logits straight to the output; here they pass through the size of the network's input.

    So the logits are laid over an image of the output's size, which leaves one resize.
    """
    case = f"whole/{name}"
    size, (start, step) = tuple(SEGEARTH.json()[case]["ori_shape"]), SEGEARTH.json()[case]["sub"]
    segmentor = recorded_segmentor(case, crop=0).segmentor
    sheet = segmentor.sheet(segmentor.scene(segearth().image[0]))
    merged = MergedLogits(sheet.logits, window_grid(*size, crop=0, stride=1), size)
    assert_near(merged.full()[:, start::step, start::step], SEGEARTH.tensor(f"{case}/logits"))
    probabilities = segmentor.head.probabilities(merged.full(), segmentor.query_classes)[:, start::step, start::step]
    torch.testing.assert_close(probabilities, SEGEARTH.tensor(f"{case}/probs"), atol=PROBABILITIES, rtol=0)
    labels = segmentor.head.labels(merged, segmentor.query_classes)
    assert (labels == SEGEARTH.tensor(f"{case}/labels")).float().mean() >= LABELS


@SEGEARTH.each("no_samples/{name}/labels")
def test_labels_at_the_networks_input_match_the_recording(name):
    assert_labels(recorded_segmentor(f"slide/{name}"), segearth().image, SEGEARTH.tensor(f"no_samples/{name}/labels"))


@SEGEARTH.each("unit/head/{what}")
def test_the_head_matches_the_recording(what):
    meta, classes = SEGEARTH.json()["unit/head"], SEGEARTH.tensor("text/query_idx").long()
    head = Head(meta["logit_scale"], meta["prob_thd"], background=meta["bg_idx"])
    logits, expected = SEGEARTH.tensor("unit/head/logits"), SEGEARTH.tensor("unit/head/labels")
    probabilities = head.probabilities(logits, classes)
    if what == "probs":
        torch.testing.assert_close(probabilities, SEGEARTH.tensor("unit/head/probs"), atol=PROBABILITIES, rtol=0)
    if what == "labels":
        size = tuple(logits.shape[1:])
        merged = MergedLogits(logits.permute(1, 2, 0)[None], window_grid(*size, crop=0, stride=1), size)
        assert torch.equal(head.labels(merged, classes), expected.long())
        assert torch.equal(head.labels_from_probabilities(probabilities), expected.long())


@SEGEARTH.each("unit/padding")
def test_margins_match_the_recording():
    patch = SEGEARTH.json()["_made"]["clip"]["patch"]
    for height, width, left, right, top, bottom in SEGEARTH["unit/padding"].tolist():
        grid = window_grid(height, width, max(height, width), 1, multiple=patch)
        assert grid.margins == ((top, bottom), (left, right))
        assert grid.padded_size == (height + top + bottom, width + left + right)


@SEGEARTH.each("text/prompt_features")
def test_averaging_of_prompts_matches_the_recording():
    """As ``build_text_bank`` has it: unit prompts, their mean, a unit vector."""
    mean = F.normalize(SEGEARTH.tensor("text/prompt_features"), dim=-1).mean(dim=0)
    assert_near(F.normalize(mean, dim=0), SEGEARTH.tensor("text/features")[0])


@SEGEARTH.each("text/class_lines")
def test_names_are_split_as_in_the_recording():
    assert classes_of(SEGEARTH, "text") == SEGEARTH["text/query_idx"].tolist()


@SEGEARTH.each("plain/{vocabulary}/class_lines")
def test_names_of_the_second_vocabulary_are_split_as_in_the_recording(vocabulary):
    assert classes_of(SEGEARTH, f"plain/{vocabulary}") == SEGEARTH[f"plain/{vocabulary}/query_idx"].tolist()


@pytest.fixture
def scene(example):
    """A scene of which only the texts matter."""
    return scene_of(torch.zeros(1, 3, 32, 48), Texts(example.queries, example.classes), {})


def random_sheet(windows=2):
    grid = window_grid(32, 32 * windows, 32, 32)
    generator = torch.Generator().manual_seed(0)
    features, token = (torch.randn(*shape, generator=generator) for shape in ((windows, 2, 3, 64), (windows, 64)))
    return Sheet(torch.randn(windows, 2, 3, 8, generator=generator), grid, Tokens(features, grid, token))


def test_every_patch_of_a_window_gets_the_same_share(scene):
    sheet = random_sheet()
    cosines = F.cosine_similarity(sheet.tokens.class_token[:, None], scene.texts.queries[None], dim=-1)
    share = ClassTokenShare(0.5)(sheet, scene).logits - sheet.logits
    torch.testing.assert_close(share, 0.5 * cosines[:, None, None].expand_as(share), atol=1e-6, rtol=0)


def test_a_weight_of_zero_changes_nothing(scene):
    sheet = random_sheet()
    assert torch.equal(ClassTokenShare(0.0)(sheet, scene).logits, sheet.logits)
