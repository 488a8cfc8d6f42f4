"""An image that comes again with other words or numbers gets the labels of a fresh computation, and no network runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sclip_lightning import Segmentor
from sclip_lightning.decoding import LastBlock, PresencePrior, ResidualAttention, SemanticFeedback
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.recall import Recall, Recalling
from sclip_lightning.refine import PAMR
from sclip_lightning.upsampling import LoftUp
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from tests.part_cases import CASES, SIZES, image, options_of, segmentor

MIB = 2**20


def with_recall(case, recall, turn):
    """The segmentor of a case, with results kept, and its texts turned as many places."""
    fresh = segmentor(case)
    networks = dict(fresh.networks)
    texts = replace(fresh.scene(image("wide")["image"]).texts, queries=fresh.queries.roll(turn, 0))
    settings = (fresh.decoder, fresh.head, fresh.crop, fresh.stride, fresh.padding, 64)
    return type(fresh)(networks, texts, *settings, fresh.sheet_steps, fresh.map_steps, recall)


def predicted(model):
    found = model.predict(output_size=SIZES["wide"][1], **image("wide"))
    return found.labels, found.probabilities


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_other_texts_give_what_a_fresh_computation_gives_bit_for_bit(case):
    recall, fresh = Recall(), [predicted(with_recall(case, None, turn)) for turn in (0, 1)]
    for turn in (0, 1, 0):
        for kept, expected in zip(predicted(with_recall(case, recall, turn)), fresh[turn], strict=True):
            assert torch.equal(kept, expected)
    runs = {name: count for name, count in recall.computed.items() if "." in name}
    assert runs["clip.trunk"] <= 2  # the windows, and the presence prior's whole image
    before = dict(runs)
    predicted(with_recall(case, recall, 2))
    assert {name: count for name, count in recall.computed.items() if "." in name} == before


@pytest.mark.parametrize("case", [case for case in CASES if not options_of(case).decoder.reads_texts])
def test_a_decoder_that_says_it_reads_no_texts_reads_none(case):
    scene = segmentor(case).scene(output_size=SIZES["wide"][1], **image("wide"))
    with torch.no_grad():
        tokens = segmentor(case).decoder.decode(replace(scene, texts=None), keep_values=True)
    assert tokens.features.shape[0] == len(tokens.grid)


def test_semantic_feedback_reads_texts():
    assert LastBlock("naclip", sfr=True).reads_texts
    assert not LastBlock("naclip", rcs=True).reads_texts
    assert not segmentor("SCCLIP").decoder.reads_texts


def rgb():
    return np.random.default_rng(0).integers(256, size=(50, 70, 3), dtype=np.uint8)


@pytest.mark.slow
def test_words_background_threshold_and_scale_change_labels_as_a_fresh_segmentor_does(tiny_clip):
    """Every part whose result depends on texts or on the scale is switched on."""
    parts = {
        "decoder": LastBlock(
            "naclip",
            rcs=ResidualAttention(tau=1.0, lam=0.3, first_layer=2, last_layer=4),
            sfr=SemanticFeedback(tau=2.0, lam=0.5, threshold=0.1),
        ),
        "prior": PresencePrior(weight=0.3, text_share=0.5, cut=0.5, per_window=False),
        "refiners": [PAMR(iterations=2)],
    }
    small = {"templates": "none", "crop": 48, "stride": 32, "short_side": 64, "weights": None, "device": "cpu"}
    kept = Segmentor.from_pretrained(tiny_clip, **small, **parts)
    kept.recall = Recall()
    words = "cat, grass=lawn|meadow, sky"
    named = f"background, {words}"
    median = float(np.median(kept.changed(logit_scale=2.0).predict(rgb(), named).probabilities.max(axis=0)))
    kept.recall.clear()
    kept.recall.computed.clear()
    asked = [
        ({}, words, False),
        ({}, "dog, cat, grass=lawn", False),
        ({"logit_scale": 2.0, "prob_threshold": 0.0}, named, False),
        ({"logit_scale": 2.0, "prob_threshold": median}, named, False),
        ({"logit_scale": 5.0}, named, False),
        ({}, words, True),
        ({"decoder": LastBlock("sclip")}, "cat, sky", False),
    ]
    found = []
    for options, classes, background in asked:
        prediction = kept.changed(**options).predict(rgb(), classes, background)
        fresh = kept.changed(**options)
        fresh.recall = None
        expected = fresh.predict(rgb(), classes, background)
        np.testing.assert_array_equal(prediction.labels, expected.labels)
        np.testing.assert_array_equal(prediction.probabilities, expected.probabilities)
        found.append(prediction)
        # windows and whole image once; the last method reads other blocks of the windows
        assert kept.recall.computed["clip.trunk"] == (3 if len(found) == len(asked) else 2)
    assert (found[2].labels != found[3].labels).any(), "the threshold changed nothing, so nothing was tested"
    assert (found[3].probabilities != found[4].probabilities).any()


@pytest.mark.slow
def test_a_changed_segmentor_shares_networks_that_are_the_same(tiny_clip, tmp_path):
    small = {"templates": "none", "weights": None, "device": "cpu", "crop": 48, "stride": 32}
    loaded = Segmentor.from_pretrained(tiny_clip, upsampler=LoftUp(None), **small)
    other = loaded.changed(decoder=LastBlock("naclip"))
    assert other.clip is loaded.clip
    assert other._networks == loaded._networks
    assert "loftup" not in loaded.changed(upsampler=None)._networks
    assert loaded.changed(upsampler=LoftUp(None, scale=3))._networks["loftup"] is loaded._networks["loftup"]
    torch.save(load_loftup(None, dim=16).state_dict(), tmp_path / "loftup.bin")
    other = loaded.changed(upsampler=LoftUp(str(tmp_path / "loftup.bin")))
    assert other._networks["loftup"] is not loaded._networks["loftup"]
    assert loaded.options.decoder == LastBlock("sclip")
    with pytest.raises(ConfigError, match="Architecture, weights and compile cannot be changed"):
        loaded.changed(weights="openai", upsampler=None)


class Adding(nn.Module):
    recallable = ("add",)

    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def add(self, x, times=1):
        return x + self.amount * times

    def bands(self, x):
        yield from x


def test_results_are_told_apart_by_content_and_by_network():
    recall = Recall()
    one, two = Recalling(Adding(1), "n", recall), Recalling(Adding(2), "n", recall)
    zeros = torch.zeros(3)
    assert one.add(zeros) is one.add(torch.zeros(3))
    assert one.add(zeros).tolist() == [1, 1, 1]
    assert two.add(zeros).tolist() == [2, 2, 2]
    assert one.add(zeros, times=3).tolist() == [3, 3, 3]
    assert one.add(torch.zeros(3, dtype=torch.float64)).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        one.add(zeros)
    assert recall.computed["n.add"] == 5
    assert one.amount == 1


def test_what_was_used_longest_ago_goes_first_and_too_much_is_not_kept():
    made = []

    def make(number):
        made.append(number)
        return torch.full((MIB // 4,), float(number))

    recall = Recall(limit=2 * MIB)
    for number in (1, 2, 1, 3, 1, 2):
        assert recall.of("make", (number,), lambda number=number: make(number))[0] == number
    assert made == [1, 2, 3, 2]
    assert recall.bytes == 2 * MIB
    recall.of("large", (), lambda: torch.zeros(MIB))
    assert recall.bytes == 2 * MIB
    recall.clear()
    assert recall.bytes == 0
    assert recall.of("make", (1,), lambda: make(1))[0] == 1
    assert made[-1] == 1 and len(made) == 5


def test_a_generator_is_passed_on_as_it_comes_and_kept_where_it_is_small():
    recall = Recall(limit=4 * MIB)
    made = []

    def bands(number):
        for band in range(number):
            made.append(band)
            yield torch.full((MIB // 4,), float(band))

    first = recall.of("bands", (3,), lambda: bands(3))
    assert float(next(iter(first))[0]) == 0 and made == [0]
    for _ in first:
        pass
    assert [float(band[0]) for band in recall.of("bands", (3,), lambda: bands(3))] == [0, 1, 2]
    assert made == [0, 1, 2]
    for _ in range(2):
        assert len(list(recall.of("bands", (5,), lambda: bands(5)))) == 5
    assert len(made) == 3 + 10


def test_a_piece_of_a_large_tensor_is_kept_without_the_rest():
    recall = Recall()
    recall.of("piece", (torch.zeros(MIB)[:10],), lambda: None)
    assert recall.bytes == 40


def test_nothing_is_kept_unless_asked_for():
    model = segmentor("sclip")
    predicted(model)
    assert model.recall.bytes == 0
    assert not model.recall.computed
