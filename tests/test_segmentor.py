import weakref

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image

import sclip_lightning.segmentor
from sclip_lightning import Segmentor
from sclip_lightning.data import VOC21
from sclip_lightning.decoding import LastBlock, ResidualAttention
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.refine import PAMR, DenseCRF
from sclip_lightning.upsampling import LoftUp
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from sclip_lightning.vocabulary import Vocabulary
from tests.fake_data import write_voc

CLASSES = "cat, grass=lawn|meadow, sky"


@pytest.fixture
def load(tiny_clip):
    small = {"templates": "none", "crop": 48, "stride": 32, "short_side": 64}
    return lambda **options: Segmentor.from_pretrained(tiny_clip, device="cpu", **small | options)


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(256, size=(50, 70, 3), dtype=np.uint8)


class Labels(Callback):
    """Keeps the labels of a test run by image id."""

    def __init__(self):
        self.by_id = {}

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.by_id |= {id_: output.labels for id_, output in outputs.items()}


def parts(tmp_path):
    """Options that switch every part on."""
    torch.save(load_loftup(None, dim=16).state_dict(), tmp_path / "loftup.bin")
    return {
        "decoder": LastBlock("naclip", rcs=ResidualAttention(first_layer=2, last_layer=4), sfr=True),
        "upsampler": LoftUp(str(tmp_path / "loftup.bin")),
        "refiners": [PAMR(2), DenseCRF(2)],
        "prob_threshold": 0.0,
        "area_threshold": 0.0,
    }


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("everything", [False, True])
def test_labels_are_those_of_a_test_run(tmp_path, tiny_clip, everything, precision):
    """The same options, classes and images through Lightning and without it."""
    root = write_voc(tmp_path, 3)
    options = {"templates": "none", "crop": 48, "stride": 32} | (parts(tmp_path) if everything else {})
    kept = Labels()
    trainer = Trainer(
        accelerator="cpu",
        precision=precision,
        logger=False,
        callbacks=[kept],
        enable_progress_bar=False,
    )
    module = SegmentationModule(architecture=tiny_clip, **options)
    data = SegmentationDataModule(VOC21(str(root), short_side=64, num_workers=0))
    trainer.test(module, data, verbose=False)

    segmentor = Segmentor.from_pretrained(tiny_clip, device="cpu", short_side=64, precision=precision, **options)
    assert len(kept.by_id) == 3
    for name, labels in kept.by_id.items():
        prediction = segmentor.predict(root / f"JPEGImages/{name}.jpg", Vocabulary.of(VOC21.published))
        np.testing.assert_array_equal(prediction.labels, labels.numpy())
    assert len(np.unique(torch.cat([labels.flatten() for labels in kept.by_id.values()]))) > 1


def test_a_prediction_in_full(load, rgb):
    prediction = load().predict(rgb, CLASSES)
    assert (prediction.labels.shape, prediction.labels.dtype) == ((50, 70), np.uint8)
    assert prediction.classes == ("cat", "grass", "sky")
    probabilities = prediction.probabilities
    assert (probabilities.shape, probabilities.dtype) == ((3, 50, 70), np.float32)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    np.testing.assert_array_equal(prediction.labels, probabilities.argmax(axis=0))
    assert prediction.probabilities is probabilities
    shares = prediction.shares()
    assert list(shares) == ["cat", "grass", "sky"]
    assert shares["sky"] == pytest.approx((prediction.labels == 2).mean())
    assert sum(shares.values()) == pytest.approx(1)


def test_what_was_prepared_before_gives_the_same(load, rgb, tmp_path):
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    segmentor = load()
    prepared = segmentor.prepare(tmp_path / "photo.png", CLASSES)
    expected, found = segmentor.predict(rgb, CLASSES), segmentor.predict(prepared, CLASSES)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert prepared.source == str(tmp_path / "photo.png")
    with pytest.raises(ConfigError, match="give regions to prepare"):
        segmentor.predict(prepared, CLASSES, regions=np.zeros(rgb.shape[:2], int))
    with pytest.raises(ValueError, match="Nothing is kept"):
        _ = found.labels_only().probabilities


def test_probabilities_are_refined(load, rgb):
    refined = load(refiners=[PAMR(2)]).predict(rgb, CLASSES)
    np.testing.assert_array_equal(refined.labels, refined.probabilities.argmax(axis=0))
    assert np.abs(refined.probabilities - load().predict(rgb, CLASSES).probabilities).max() > 1e-4


def test_every_kind_of_image_gives_the_same_labels(load, rgb, tmp_path):
    segmentor = load()
    Image.fromarray(rgb).save(tmp_path / "image.png")
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    expected = segmentor.predict(rgb, CLASSES).labels
    for image in (tmp_path / "image.png", Image.fromarray(rgb), tensor):
        np.testing.assert_array_equal(segmentor.predict(image, CLASSES).labels, expected)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"refiners": [PAMR(2), DenseCRF(2)]}])
def test_several_images_give_what_each_gives_alone(load, rgb, tmp_path, options):
    segmentor = load(**options)
    other = np.random.default_rng(1).integers(256, size=(90, 40, 3), dtype=np.uint8)
    Image.fromarray(other).save(tmp_path / "image.png")
    images = [rgb, str(tmp_path / "image.png"), Image.fromarray(rgb[:, ::-1])]
    alone = [segmentor.predict(image, CLASSES, background=True) for image in images]
    for found in (
        segmentor.predict(images, CLASSES, background=True),
        segmentor.predict(tuple(images), CLASSES, background=True),
        list(segmentor.predict_each(iter(images), CLASSES, background=True)),
    ):
        assert len(found) == 3
        for one, expected in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one.labels, expected.labels)
            np.testing.assert_array_equal(one.image, expected.image)
            np.testing.assert_array_equal(one.probabilities, expected.probabilities)
            assert one.classes == expected.classes
    assert segmentor.predict([], CLASSES) == []


def test_of_several_images_labels_and_images_alone_are_kept(load, rgb):
    """What probabilities are made of takes far more memory; and one after the other means just that."""
    segmentor, kept = load(), []
    model = segmentor.sliding_window(segmentor.vocabulary(CLASSES))
    segment = model.predict

    def noted(*arguments):
        segmentation = segment(*arguments)
        kept.append(weakref.ref(segmentation))
        return segmentation

    model.predict = noted
    predictions = segmentor.predict([rgb, rgb], CLASSES)
    assert [reference() for reference in kept] == [None, None]
    assert predictions[1].probabilities.shape == (3, 50, 70)
    assert len(kept) == 3
    each = segmentor.predict_each([rgb] * 5, CLASSES)
    assert len(kept) == 3
    next(each)
    assert len(kept) == 4


def test_what_is_wrong_with_one_of_several_images_is_said_of_that_one(load, rgb, tmp_path):
    segmentor = load()
    with pytest.raises(DataError, match=r"^Image 2 of those given: The array is \(50, 70\)"):
        segmentor.predict([rgb, rgb[..., 0]], CLASSES)
    with pytest.raises(DataError, match=f"^There is no image {tmp_path}/none.jpg"):
        segmentor.predict([rgb, tmp_path / "none.jpg"], CLASSES)
    with pytest.raises(DataError, match="predict_each takes several images"):
        segmentor.predict_each("photo.jpg", CLASSES)
    with pytest.raises(ConfigError, match="stands twice"):
        segmentor.predict_each([rgb], "cat, cat")


def test_background_takes_what_is_uncertain(load, rgb):
    prediction = load().predict(rgb, "cat, dog", background=True)
    assert prediction.classes == ("background", "cat", "dog")
    certain = load(prob_threshold=0).predict(rgb, "cat, dog", background=True)
    everything = load(prob_threshold=1.0).predict(rgb, "cat, dog", background=True)
    assert (everything.labels == 0).all()
    assert (prediction.labels == 0).sum() >= (certain.labels == 0).sum()
    below = prediction.probabilities.max(axis=0) < 0.1
    np.testing.assert_array_equal(prediction.labels, np.where(below, 0, certain.labels))


@pytest.mark.parametrize("name", ["prob_threshold", "area_threshold"])
def test_a_threshold_without_a_background_is_refused(load, rgb, name):
    segmentor = load(**{name: 0.2})
    with pytest.raises(ConfigError, match=f"{name} is 0.2 .* class 0 is 'cat'"):
        segmentor.predict(rgb, CLASSES)
    assert segmentor.predict(rgb, CLASSES, background=True).labels.shape == (50, 70)


def test_uncertain_pixels_may_go_to_a_class_that_is_named(load, rgb):
    certain, named = load().predict(rgb, CLASSES), load(prob_threshold=0.4, uncertain_class=2).predict(rgb, CLASSES)
    below = named.probabilities.max(axis=0) < 0.4
    assert below.any()
    assert (certain.labels[below] != 2).any()
    np.testing.assert_array_equal(named.labels, np.where(below, 2, certain.labels))


def test_names_are_embedded_once_per_list_of_classes(load, rgb, monkeypatch):
    calls = []
    build = sclip_lightning.segmentor.build_text_bank
    monkeypatch.setattr("sclip_lightning.segmentor.build_text_bank", lambda *a: calls.append(a) or build(*a))
    segmentor = load()
    for classes in (CLASSES, ["cat", ["grass", "lawn", "meadow"], "sky"], CLASSES, "dog, sky"):
        segmentor.predict(rgb, classes)
    assert len(calls) == 2


def test_many_classes_take_16_bit(load, rgb, tmp_path):
    prediction = load().predict(rgb, [f"thing {i}" for i in range(300)])
    assert prediction.labels.dtype == np.uint16
    prediction.save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as stored:
        assert stored.mode.startswith("I")
        np.testing.assert_array_equal(np.asarray(stored), prediction.labels)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 30), (200, 7)])
def test_tiny_and_narrow_images(load, size):
    rgb = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
    prediction = load().predict(rgb, CLASSES)
    assert prediction.labels.shape == size
    assert prediction.probabilities.shape == (3, *size)
    assert prediction.overlay("narrow").width >= 320


@pytest.mark.parametrize(("size", "short_side"), [((10, 5000), 64), ((15, 40), 0)])
def test_an_image_of_less_than_a_patch_is_refused(load, size, short_side):
    with pytest.raises(DataError, match=f"{size[0]} x {size[1]} pixels.*patch of 16 x 16"):
        load(short_side=short_side).predict(np.zeros((*size, 3), np.uint8), CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decodr": LastBlock("sclip")}, "Did you mean decoder"),
        ({"quux": 1}, "Did you mean architecture or weights"),
        ({"short_side": -1}, "short_side is -1"),
        ({"precision": "float16"}, "32-true, bf16-mixed, 16-mixed"),
        ({"precision": "16-mixed"}, "needs a GPU"),
        ({"device": "warp"}, "'warp' .* Choose auto, cpu or cuda"),
        ({"upsampler": LoftUp(None)}, "worthless"),
        ({"decoder": LastBlock(sfr=True), "upsampler": LoftUp(mode="direct")}, "SemanticFeedback could change nothing"),
        ({"templates": "some"}, "--model.templates"),
        ({"refiners": [DenseCRF(), PAMR()]}, "Reorder"),
    ],
)
def test_bad_options_are_refused(tiny_clip, options, message):
    with pytest.raises(ConfigError, match=message):
        Segmentor.from_pretrained(tiny_clip, **{"device": "cpu"} | options)


def test_feedback_on_an_attention_without_logits_is_refused(tiny_clip):
    with pytest.raises(ConfigError, match="maskclip"):
        Segmentor.from_pretrained(tiny_clip, device="cpu", decoder=LastBlock("maskclip", sfr=True))


def test_gap_between_windows_is_refused(load, rgb):
    with pytest.raises(ConfigError, match="stride"):
        load(stride=49).predict(rgb, CLASSES)


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="Segmenter"):
        sclip_lightning.Segmenter  # noqa: B018
