from dataclasses import replace

import pytest

from sclip_lightning.data import VOC20, VOC21, COCOStuff
from sclip_lightning.data.reading.benchmark import Protocol
from sclip_lightning.demo.benchmark import Demo
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import protocol_of
from sclip_lightning.vocabulary import Vocabulary


@pytest.mark.parametrize(
    "classes",
    [
        "cat, grass=lawn|meadow ,sky",
        ["cat", "grass=lawn|meadow", "sky"],
        [["cat"], ("grass", "lawn", "meadow"), "sky"],
        {"cat": [], "grass": ["lawn", "meadow"], "sky": ()},
        {"cat": [], "grass": "lawn", "sky": []},
    ],
)
def test_forms_of_classes(classes):
    vocabulary = Vocabulary.parse(classes)
    assert vocabulary.names == ("cat", "grass", "sky")
    assert vocabulary.synonyms[1][:2] == ("grass", "lawn")
    assert vocabulary.palette.shape == (3, 3)
    assert not vocabulary.has_background
    assert (vocabulary.protocol.logit_scale, vocabulary.protocol.prob_threshold) == (40, 0)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("", "no classes"),
        ([], "no classes"),
        (" , ", "no classes"),
        ("cat,,sky", "Class 2 .* empty name"),
        ("cat, grass=|lawn", "Class 2 .* empty name"),
        (["cat", []], "Class 2 .* empty name"),
        ("cat, dog, Cat", "stands twice.* both 'cat' and 'Cat'"),
        ("cat=pet, dog=pet", "'pet' stands twice.* both 'cat' and 'dog'"),
        ("cat=cat, dog", "'cat' stands twice"),
        ("cat=kitten", "only class is 'cat'"),
    ],
)
def test_classes_that_cannot_be_told_apart(classes, message):
    with pytest.raises(ConfigError, match=message):
        Vocabulary.parse(classes)


def test_background_has_the_published_words_less_those_asked_for():
    vocabulary = Vocabulary.parse("cat, Sky=clouds, ground=grass", background=True)
    published = VOC21.published.synonyms[0]
    assert len(published) == 26
    assert vocabulary.names == ("background", "cat", "Sky", "ground")
    assert vocabulary.synonyms[0] == tuple(word for word in published if word not in ("sky", "grass"))
    assert vocabulary.has_background
    assert vocabulary.palette[0].tolist() == [0, 0, 0]
    assert (vocabulary.palette[1:] == Vocabulary.parse("cat, Sky=clouds, ground=grass").palette).all()
    assert (vocabulary.protocol.logit_scale, vocabulary.protocol.prob_threshold) == (50, 0.1)


def test_one_class_and_a_background_are_enough():
    assert Vocabulary.parse(["cat"], background=True).names == ("background", "cat")


def test_own_background():
    vocabulary = Vocabulary.parse("Background=wall|floor, cat")
    assert vocabulary.synonyms[0] == ("Background", "wall", "floor")
    assert vocabulary.has_background
    assert vocabulary.protocol.prob_threshold == 0.1
    for classes in ("Background, cat", "cat, background"):
        with pytest.raises(ConfigError, match="already have one"):
            Vocabulary.parse(classes, background=True)
    with pytest.raises(ConfigError, match="Every word"):
        Vocabulary.parse(list(VOC21.published.synonyms[0]), background=True)


def test_benchmarks_keep_their_names_and_constants():
    voc = Vocabulary.of(VOC21.published)
    assert (voc.names[0], voc.synonyms[0][0], voc.has_background) == ("background", "sky", True)
    assert (voc.benchmark, voc.protocol, voc.background_added) == ("VOC21", None, False)
    protocol = protocol_of("sclip", voc.benchmark)
    assert voc.adapt(protocol) == protocol
    assert (protocol.logit_scale, protocol.area_threshold) == (65, 0.1)
    assert not Vocabulary.of(VOC20.published).has_background
    stuff = Vocabulary.of(COCOStuff.published).with_background()
    assert (stuff.benchmark, stuff.protocol, stuff.background_added) == ("COCOStuff", None, True)
    published = protocol_of("sclip", stuff.benchmark)
    assert published.short_side == 448
    assert stuff.adapt(published) == replace(published, logit_scale=50, prob_threshold=0.1)
    assert len(stuff.names) == 172


def test_data_that_methods_do_not_know_have_constants_of_their_own():
    demo = Vocabulary.of(Demo.published)
    assert (demo.benchmark, demo.protocol) == ("Demo", Protocol(short_side=128, logit_scale=20, crop=64, stride=32))
    added = demo.with_background()
    assert added.protocol == added.adapt(demo.protocol) == replace(demo.protocol, logit_scale=50, prob_threshold=0.1)
    own = Vocabulary.parse("cat, dog")
    assert (own.benchmark, own.protocol) == (None, Protocol(short_side=336))
    assert own.with_background().benchmark is None
    assert own.with_background().adapt(own.protocol) == own.with_background().protocol
