import hashlib

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
from sclip_lightning.data.reading.benchmark import CLASS_FOLDER, Protocol, read_class_file, voc_colours
from sclip_lightning.errors import DataError

#: Images, classes, queries.
PUBLISHED = {
    VOC21: (1449, 21, 56),
    VOC20: (1449, 20, 30),
    Context60: (5105, 60, 60),
    Context59: (5105, 59, 59),
    COCOObject: (5000, 81, 113),
    COCOStuff: (5000, 171, 171),
    COCOStuff10k: (1000, 171, 171),
    Cityscapes: (500, 19, 19),
    ADE20K: (2000, 150, 150),
}


@pytest.mark.parametrize("module", PUBLISHED)
def test_published_classes(module):
    images, num_classes, num_queries = PUBLISHED[module]
    benchmark = module().benchmark
    assert benchmark.name == module.__name__
    assert benchmark.images == images
    assert len(benchmark.classes) == len(set(benchmark.classes)) == len(benchmark.synonyms) == num_classes
    assert sum(map(len, benchmark.synonyms)) == num_queries
    assert benchmark.palette.shape == (num_classes, 3)
    assert benchmark.palette.dtype == np.uint8
    content = (CLASS_FOLDER / benchmark.class_file).read_bytes()
    assert benchmark.class_file_sha256 == hashlib.sha256(content).hexdigest()
    assert benchmark.protocol is None  # a fact about methods


def with_class_file(module, name, **options):
    data = module(**options)
    data.use(Protocol(short_side=448, class_file=name))
    return data.benchmark


def test_a_protocol_may_have_prompts_of_its_own():
    benchmark = with_class_file(VOC21, "voc21_clearclip.txt")
    assert benchmark.class_file == "voc21_clearclip.txt"
    assert benchmark.synonyms[0] == ("background",)
    assert benchmark.synonyms[15] == ("person",)
    assert benchmark.synonyms[1:15] == VOC21().benchmark.synonyms[1:15]
    assert with_class_file(VOC21, "voc21_clearclip.txt", classes="voc21.txt").class_file == "voc21.txt"
    assert with_class_file(VOC20, None).class_file == "voc20.txt"


@pytest.mark.parametrize(
    ("module", "name", "queries", "other"),
    [
        (VOC20, "voc20_proxyclip.txt", 20, {14: ("person",), 19: ("tvmonitor",)}),
        (VOC21, "voc21_proxyclip.txt", 46, {15: ("person",), 20: ("tvmonitor",)}),
        (COCOObject, "coco_object_proxyclip.txt", 97, {1: ("person",)}),
    ],
)
def test_proxyclips_prompts_differ_in_a_few_classes(module, name, queries, other):
    found, own = with_class_file(module, name).synonyms, list(module().benchmark.synonyms)
    assert sum(map(len, found)) == queries
    if module is COCOObject:  # and in the words for background
        assert len(found[0]) == 17
        assert set(found[0]) < set(own[0])
        own[0] = found[0]
    assert {index: names for index, names in enumerate(found) if names != own[index]} == other


@pytest.mark.parametrize("module", [module for module in PUBLISHED if module is not COCOStuff10k])
def test_corrclips_prompts_say_people(module):
    own = list(module().benchmark.synonyms)
    found = with_class_file(module, module().benchmark.class_file.replace(".txt", "_corrclip.txt")).synonyms
    (person,) = [index for index, names in enumerate(own) if names[0] == "person"]
    own[person] = ("people",)
    if module in (VOC20, VOC21):
        own[-1] = ("tvmonitor",)
    if module is COCOObject:
        proxyclip = with_class_file(module, "coco_object_proxyclip.txt").synonyms[0]
        own[0] = tuple(name for name in proxyclip if name != "bed")
        assert len(own[0]) == 16
    assert found == tuple(own)


@pytest.mark.parametrize(
    ("module", "name", "background", "some"),
    [
        (VOC20, "voc20_lposs.txt", 0, {3: "boat", 10: "dining table", 14: "person", 15: "potted plant"}),
        (VOC21, "voc21_lposs.txt", 26, {4: "boat", 11: "dining table", 15: "person", 20: "tvmonitor"}),
        (COCOObject, "coco_object_lposs.txt", 17, {1: "person", 5: "aeroplane", 60: "bed", 61: "dining table"}),
        (COCOStuff, "coco_stuff_lposs.txt", 0, {9: "traffic light", 78: "hair drier", 84: "building-other"}),
        (Cityscapes, "cityscapes_lposs.txt", 0, {6: "traffic light", 7: "traffic sign", 18: "bicycle"}),
        (ADE20K, "ade20k_lposs.txt", 0, {7: "bed", 44: "chest of drawers", 141: "crt screen"}),
    ],
)
def test_prompts_of_lposs_are_the_names_of_the_data_sets(module, name, background, some):
    found = with_class_file(module, name).synonyms
    assert {index: found[index] for index in some} == {index: (name,) for index, name in some.items()}
    names = [len(names) for names in found]
    assert names == [background or 1, *([1] * (len(names) - 1))]


def test_a_protocols_prompts_are_the_shipped_ones_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "voc21_clearclip.txt").write_text("".join(f"name {i}\n" for i in range(21)))
    monkeypatch.chdir(tmp_path)
    assert with_class_file(VOC21, "voc21_clearclip.txt").synonyms[15] == ("person",)


def test_another_protocol_takes_its_prompts_along():
    data = VOC21()
    data.use(Protocol(short_side=448, class_file="voc21_clearclip.txt"))
    data.use(Protocol(short_side=336))
    assert data.benchmark.class_file == "voc21.txt"
    assert data.resolved_short_side == 336


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
    with pytest.raises(DataError, match=r"no class file .*nowhere\.txt.*coco_stuff\.txt, .*voc20\.txt, .*voc21\.txt"):
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
