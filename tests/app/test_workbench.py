"""What the page computes, without the page."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sclip_lightning import Segmentor
from sclip_lightning.app.choices import STARTED, Choices
from sclip_lightning.app.viewer import SHOWN, heat_of, picture_of
from sclip_lightning.app.workbench import Limits, Request, Workbench
from sclip_lightning.decoding import SCCLIP, LastBlock, ProxyCLIP, ResidualAttention, SemanticFeedback
from sclip_lightning.decoding.affinity import second_network
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.refine import PAMR, TLP, DenseCRF, RegionVote
from sclip_lightning.towers import load_features
from tests.tiny_dino import MICRO, write_micro

WORDS = "cat, grass=lawn|meadow, sky"
RCS, SFR = "Residual attention (RCS)", "Semantic feedback (SFR)"


def options(architecture, decoder, **others):
    small = {"weights": None, "templates": "none", "crop": 48, "stride": 32}
    return SegmentorOptions(architecture=architecture, decoder=decoder, **small, **others)


@pytest.fixture(scope="module")
def methods(tiny_clip):
    own = ResidualAttention(tau=1.0, lam=0.3, first_layer=2, last_layer=4)
    return {
        STARTED: options(tiny_clip, LastBlock("naclip", rcs=own), refiners=[PAMR(2)]),
        "plain": options(tiny_clip, LastBlock("sclip")),
        "ResCLIP": options(tiny_clip, LastBlock("naclip", rcs=True, sfr=True)),
        "SC-CLIP": options(tiny_clip, SCCLIP(2, 1, (1, 3), 0.3)),
        "of another size": options(tiny_clip, SCCLIP(20, 1, (1, 3), 0.3)),
    }


@pytest.fixture(scope="module")
def segmentor(methods, tmp_path_factory):
    return Segmentor(methods[STARTED], short_side=64, device="cpu", cache=tmp_path_factory.mktemp("names"))


@pytest.fixture(scope="module")
def bench(segmentor, methods):
    return Workbench(segmentor, Choices(methods), Limits(megapixels=0.01, names=8))


@pytest.fixture
def image(tmp_path):
    rgb = np.random.default_rng(0).integers(256, size=(50, 70, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_an_answer_is_what_predict_gives(bench, segmentor, image):
    request = Request(image, WORDS, method=STARTED, parts=(RCS, "PAMR"))
    answer = bench.segment(request)
    fresh = segmentor.changed()
    fresh.recall = None
    expected = fresh.predict(image, WORDS)
    np.testing.assert_array_equal(answer.prediction.labels, expected.labels)
    assert answer.words == (("cat",), ("grass", "lawn", "meadow"), ("sky",))
    np.testing.assert_array_equal(bench.probability(request, 1), expected.probabilities[1])


def test_the_network_runs_once_for_an_image(bench, image):
    bench.recall.clear()
    request = Request(image, WORDS, method=STARTED, parts=(RCS, "PAMR"))
    assert bench.segment(request).ran
    for other in (
        {"classes": "dog, cat, sky"},
        {"background": True},
        {"background": True, "threshold": 0.5},
        {"logit_scale": 7.0},
        {"parts": (RCS, "DenseCRF")},
        {"parts": ()},
    ):
        changed = replace(request, **other)
        assert bench.segment(changed).ran is (other == {"parts": ()}), other  # RCS reads more of the network
        bench.probability(changed, 0)
    assert not bench.segment(replace(request, parts=())).ran


def test_thresholds_count_with_a_background_only(bench, image):
    plain = Request(image, WORDS, method="plain", logit_scale=2.0)
    assert (
        bench.segment(replace(plain, threshold=1.0)).prediction.labels == bench.segment(plain).prediction.labels
    ).all()
    named = replace(plain, classes=f"background, {WORDS}", threshold=1.0)
    assert (bench.segment(named).prediction.labels == 0).all()
    assert (bench.segment(replace(named, threshold=0.0)).prediction.labels != 0).any()
    assert bench.published(plain) == (40.0, 0.0, False)
    assert bench.published(replace(plain, background=True)) == (50.0, 0.1, True)
    assert bench.published(named) == (50.0, 0.1, True)


def test_only_what_runs_is_offered(bench):
    assert list(bench.choices.methods) == [STARTED, "plain", "ResCLIP", "SC-CLIP"]
    assert bench.parts == [RCS, SFR, "PAMR", "DenseCRF"]
    assert bench.choices.parts_on(STARTED) == [RCS, "PAMR"]
    assert bench.choices.parts_on("ResCLIP") == [RCS, SFR]


def test_a_method_with_a_network_of_its_own_is_offered_where_that_is_loaded(segmentor, methods, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(second_network, "load_features", lambda *names: asked.append(names) or load_features(*names))
    proxy = ProxyCLIP(MICRO, write_micro(tmp_path / "micro.pth"))
    choices = Choices({**methods, "ProxyCLIP": replace(methods["plain"], decoder=proxy)})
    assert "ProxyCLIP" not in Workbench(segmentor, choices, Limits()).choices.methods
    assert not asked
    started = segmentor.changed(decoder=proxy, refiners=None)
    assert len(asked) == 1
    names = Workbench(started, Choices({STARTED: started.options, **choices.methods}), Limits()).choices.methods
    assert {STARTED, "ProxyCLIP"} <= names.keys()
    assert len(asked) == 1


def test_what_reads_segment_maps_is_not_offered(segmentor, methods):
    voting = replace(methods["plain"], refiners=[RegionVote()])
    assert "vote" not in Workbench(segmentor, Choices({**methods, "vote": voting}), Limits()).choices.methods
    with pytest.raises(ConfigError, match="RegionVote: this page reads no segment maps"):
        Workbench(segmentor, Choices({STARTED: voting}), Limits())


def test_parts_come_with_the_numbers_that_the_page_was_started_with(methods):
    choices = Choices({**methods, "TLP": replace(methods["plain"], refiners=[TLP(), DenseCRF(1)])})
    made = choices.options("ResCLIP", [RCS, "DenseCRF", "PAMR"])
    assert made.decoder == LastBlock("naclip", rcs=methods[STARTED].decoder.rcs)
    assert made.refiners == [PAMR(2), DenseCRF()]
    assert choices.options("plain", [SFR]).decoder == LastBlock("sclip", sfr=SemanticFeedback())
    assert choices.options("TLP", []).refiners == [TLP()]
    with pytest.raises(ConfigError, match=r"SC-CLIP has no place for Residual attention \(RCS\)"):
        choices.options("SC-CLIP", [RCS])
    with pytest.raises(ConfigError, match="There is no that to choose"):
        choices.options("that", [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ""}, "There are no classes"),
        ({"classes": "cat"}, "The only class is 'cat'"),
        ({"classes": "a, b, c, d, e, f, g, h, i"}, "These are 9 names; this page takes 8 at most"),
        ({"method": "that"}, "There is no that to choose"),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_a_sentence(bench, image, changes, message):
    with pytest.raises((ConfigError, DataError), match=message):
        bench.segment(replace(Request(image, WORDS), **changes))


def test_files_that_are_no_images_are_refused_by_their_names(bench, tmp_path):
    def refused(name, message):
        with pytest.raises(DataError, match=message) as caught:
            bench.segment(Request(str(tmp_path / name), WORDS))
        assert str(caught.value).startswith(name)
        assert str(tmp_path) not in str(caught.value)

    (tmp_path / "words.png").write_bytes(b"no image")
    refused("words.png", "cannot be read as an image.*Give a JPEG or PNG file")
    Image.new("RGB", (200, 100)).save(tmp_path / "large.png")
    refused("large.png", "has 200 x 100 pixels, 0.0 million; this page takes 0.01 million at most")
    Image.new("RGB", (20, 20)).save(tmp_path / "drawing.eps")
    refused("drawing.eps", "is a EPS file, which this page does not open")
    Image.new("RGB", (1, 900)).save(tmp_path / "thin.png")
    with pytest.raises(DataError, match=r"1 x 900|900 x 1"):
        bench.segment(Request(str(tmp_path / "thin.png"), WORDS))


def test_a_class_that_is_not_there_has_no_probability(bench, image):
    for index in (-1, 3):
        with pytest.raises(DataError, match=f"There is no class {index} among 3"):
            bench.probability(Request(image, WORDS), index)


def unpacked(text, dtype):
    import base64
    import zlib

    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def test_the_picture_has_labels_names_and_shares(bench, image):
    answer = bench.segment(Request(image, WORDS))
    picture = picture_of(answer)
    assert (picture["width"], picture["height"], picture["size"]) == (70, 50, [70, 50])
    np.testing.assert_array_equal(unpacked(picture["labels"], "<u2").reshape(50, 70), answer.prediction.labels)
    shares = answer.prediction.shares()
    assert [one["share"] for one in picture["classes"]] == sorted(shares.values(), reverse=True)
    assert {one["name"]: one["share"] for one in picture["classes"]} == shares
    assert next(one["words"] for one in picture["classes"] if one["name"] == "grass") == ["grass", "lawn", "meadow"]


def test_a_large_picture_is_shrunk_by_taking_the_nearest_pixels():
    probability = np.zeros((100, 4 * SHOWN), np.float32)
    probability[:, 2 * SHOWN :] = 1
    values = unpacked(heat_of(0, probability)["values"], np.uint8).reshape(25, SHOWN)
    assert (values[:, : SHOWN // 2] == 0).all()
    assert (values[:, SHOWN // 2 :] == 255).all()


def test_a_background_is_made_of_the_words_that_the_page_was_started_with(segmentor, methods, image):
    words = ("tree", "sky", "rock")
    bench = Workbench(segmentor, Choices(methods), Limits(megapixels=0.01), background=words)
    answer = bench.segment(Request(image, "cat, sky", background=True, method="plain"))
    assert answer.words == (("tree", "rock"), ("cat",), ("sky",))
    expected = segmentor.changed(decoder=LastBlock("sclip"), refiners=None).predict(image, "cat, sky", words)
    np.testing.assert_array_equal(answer.prediction.labels, expected.labels)
