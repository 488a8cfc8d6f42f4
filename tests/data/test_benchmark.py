import hashlib
from dataclasses import replace

import numpy as np
import pytest

from sclip_lightning.data import (
    ADE20K,
    VOC20,
    VOC21,
    Cityscapes,
    COCOObject,
    COCOStuff,
    COCOStuff10k,
    Context59,
    Context60,
)
from sclip_lightning.data.benchmark import CLASS_FOLDER, read_class_file, voc_colours
from sclip_lightning.errors import DataError

#: Images, classes, queries; short side, logit scale and probability threshold of SCLIP's authors; short side, crop and
#: threshold of ResCLIP's; tau and lambda of RCS and SFR, and SFR's threshold.
PUBLISHED = {
    VOC21: (1449, 21, 56, (336, 65, 0.1), (336, 0, 0.1), (2.0, 0.3), (2.2, 0.7), 0.5),
    VOC20: (1449, 20, 30, (336, 40, 0), (336, 0, 0), (2.0, 0.6), (2.1, 0.6), 0.1),
    Context60: (5105, 60, 60, (336, 50, 0.1), (336, 224, 0.1), (2.0, 0.3), (1.8, 0.7), 0.3),
    Context59: (5105, 59, 59, (336, 40, 0), (336, 224, 0), (2.0, 0.4), (1.8, 0.7), 0.25),
    COCOObject: (5000, 81, 113, (336, 50, 0.1), (336, 224, 0.1), (2.0, 0.4), (1.8, 0.7), 0.11),
    COCOStuff: (5000, 171, 171, (448, 40, 0), (336, 224, 0), (2.0, 0.4), (1.8, 0.7), 0.11),
    COCOStuff10k: (1000, 171, 171, (336, 40, 0), (336, 224, 0), (2.0, 0.4), (1.8, 0.7), 0.11),
    Cityscapes: (500, 19, 19, (560, 40, 0), (560, 224, 0), (2.0, 0.2), (2.1, 0.6), 0.1),
    ADE20K: (2000, 150, 150, (336, 40, 0), (336, 224, 0), (2.0, 0.3), (2.1, 0.7), 0.25),
}


@pytest.mark.parametrize("module", PUBLISHED)
def test_published_classes(module):
    images, num_classes, num_queries, *_ = PUBLISHED[module]
    benchmark = module().benchmark
    assert benchmark.name == module.__name__
    assert benchmark.images == images
    assert len(benchmark.classes) == len(set(benchmark.classes)) == len(benchmark.synonyms) == num_classes
    assert sum(map(len, benchmark.synonyms)) == num_queries
    assert benchmark.palette.shape == (num_classes, 3)
    assert benchmark.palette.dtype == np.uint8
    content = (CLASS_FOLDER / benchmark.class_file).read_bytes()
    assert benchmark.class_file_sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("module", PUBLISHED)
def test_published_protocols(module):
    _, _, _, sclip, resclip, rcs, sfr, threshold = PUBLISHED[module]
    protocol = module(protocol="sclip").protocol
    assert (protocol.short_side, protocol.logit_scale, protocol.prob_threshold) == sclip
    assert (protocol.crop, protocol.stride) == (224, 112)
    assert protocol.area_threshold == (0.1 if module is VOC21 else 0)
    protocol = module(protocol="resclip").protocol
    assert (protocol.short_side, protocol.crop, protocol.prob_threshold) == resclip
    assert (protocol.logit_scale, protocol.stride, protocol.area_threshold) == (40, 112, 0)
    settings = module().benchmark.resclip
    assert (settings.rcs, settings.sfr, settings.sfr_threshold) == (rcs, sfr, threshold)


@pytest.mark.parametrize("module", PUBLISHED)
def test_protocols_of_naclip_and_clearclip(module):
    sclip, naclip = module(protocol="sclip").protocol, module(protocol="naclip").protocol
    assert naclip == replace(sclip, logit_scale=40, area_threshold=0)
    clearclip = module(protocol="clearclip").protocol
    thresholds = {VOC21: 0.5, Context60: 0.15, COCOObject: 0.4}
    assert (clearclip.short_side, clearclip.logit_scale, clearclip.stride) == (448, 50, 224)
    assert clearclip.prob_threshold == thresholds.get(module, 0)
    assert clearclip.crop == (224 if module is Cityscapes else 448)


def test_a_protocol_may_have_prompts_of_its_own():
    benchmark = VOC21(protocol="clearclip").benchmark
    assert benchmark.class_file == "voc21_clearclip.txt"
    assert benchmark.synonyms[0] == ("background",)
    assert benchmark.synonyms[15] == ("person",)
    assert benchmark.synonyms[1:15] == VOC21().benchmark.synonyms[1:15]
    assert VOC21(protocol="clearclip", classes="voc21.txt").benchmark.class_file == "voc21.txt"
    assert VOC20(protocol="clearclip").benchmark.class_file == "voc20.txt"


def test_stand_ins_are_noted():
    noted = {module for module in PUBLISHED if any("ResCLIP" in note for note in module().benchmark.notes)}
    assert noted == {COCOStuff10k}


def test_voc_colours():
    colours = voc_colours(256).tolist()
    assert len({tuple(colour) for colour in colours}) == 256
    assert colours[:21] == VOC21().benchmark.palette.tolist()
    assert colours[255] == [224, 224, 192]


def test_names_stand_in_the_order_of_the_classes():
    assert VOC21().benchmark.classes[0] == "background"
    assert VOC20().benchmark.classes == VOC21().benchmark.classes[1:]
    assert VOC20().benchmark.synonyms == VOC21().benchmark.synonyms[1:]
    assert VOC20().benchmark.palette.tolist() == VOC21().benchmark.palette[1:].tolist()
    assert Context59().benchmark.classes == Context60().benchmark.classes[1:]
    assert Context59().benchmark.synonyms == Context60().benchmark.synonyms[1:]
    assert COCOObject().benchmark.synonyms[0] == VOC21().benchmark.synonyms[0]
    assert COCOObject().benchmark.classes[1:] == COCOStuff().benchmark.classes[:80]
    assert [module for module in PUBLISHED if not module().benchmark.scores_boundaries] == [VOC20, Context59]
    for module in (Cityscapes, ADE20K):
        for name, (prompt,) in zip(module().benchmark.classes, module().benchmark.synonyms, strict=True):
            assert name.replace(" ", "") == prompt
    coco = COCOStuff().benchmark
    spaced = sum(
        name != "".join(canonical.split()) for name, (canonical,) in zip(coco.classes, coco.synonyms, strict=True)
    )
    assert spaced == 15  # "traffic light" has the prompt name "trafficlight", and 14 more like it


def test_a_class_file_replaces_the_prompts(tmp_path):
    lines = [f"name {i}, other {i},third {i} " for i in range(20)]
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    benchmark = VOC20(classes=str(path)).benchmark
    assert benchmark.synonyms[3] == ("name 3", "other 3", "third 3")
    assert benchmark.class_file == "mine.txt"
    assert benchmark.class_file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert benchmark.classes == VOC20().benchmark.classes

    listed = VOC20(classes=lines).benchmark
    assert listed.synonyms == benchmark.synonyms
    assert listed.class_file == "(list)"


def test_a_shipped_class_file_goes_by_its_name():
    assert read_class_file("voc20.txt") == VOC20().benchmark.synonyms


def test_unknown_class_file_names_the_shipped_ones():
    with pytest.raises(DataError, match=r"no class file .*nowhere\.txt.*coco_stuff\.txt, .*voc20\.txt, voc21\.txt"):
        VOC21(classes="nowhere.txt")


def test_wrong_number_of_names_gives_both_counts():
    with pytest.raises(DataError, match=r"voc20\.txt names 20 classes, but VOC21 has 21"):
        VOC21(classes="voc20.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"cat\n\ndog\n", "empty name in line 2"),
        (b"cat, \ndog\n", "empty name in line 1"),
        (b"cat\ndog, hound, dog\n", "repeats a name in line 2"),
        (b"cat\ndog\ncat\n", "repeats a name in lines 1 and 3"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_malformed_class_file(tmp_path, content, message):
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_class_file(path)
    assert str(path) in str(error.value)
