import hashlib

import numpy as np
import pytest

from sclip_lightning.data import VOC20, VOC21, COCOStuff
from sclip_lightning.data.benchmark import CLASS_FOLDER, read_class_file
from sclip_lightning.errors import DataError


@pytest.mark.parametrize(
    ("module", "num_classes", "num_queries"), [(VOC21, 21, 56), (VOC20, 20, 30), (COCOStuff, 171, 171)]
)
def test_published_classes(module, num_classes, num_queries):
    benchmark = module().benchmark
    assert benchmark.name == module.__name__
    assert len(benchmark.classes) == len(set(benchmark.classes)) == len(benchmark.synonyms) == num_classes
    assert sum(map(len, benchmark.synonyms)) == num_queries
    assert benchmark.palette.shape == (num_classes, 3)
    assert benchmark.palette.dtype == np.uint8
    content = (CLASS_FOLDER / benchmark.class_file).read_bytes()
    assert benchmark.class_file_sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("module", "name", "short_side", "logit_scale", "thresholds", "crop"),
    [
        (VOC21, "sclip", 336, 65, (0.1, 0.1), 224),
        (VOC20, "sclip", 336, 40, (0, 0), 224),
        (COCOStuff, "sclip", 448, 40, (0, 0), 224),
        (VOC21, "resclip", 336, 40, (0.1, 0), 0),
        (VOC20, "resclip", 336, 40, (0, 0), 0),
        (COCOStuff, "resclip", 336, 40, (0, 0), 224),
    ],
)
def test_published_protocols(module, name, short_side, logit_scale, thresholds, crop):
    protocol = module(protocol=name).protocol
    assert (protocol.short_side, protocol.logit_scale) == (short_side, logit_scale)
    assert (protocol.prob_threshold, protocol.area_threshold) == thresholds
    assert (protocol.crop, protocol.stride) == (crop, 112)


def test_published_settings_of_resclip():
    settings = {module: module().benchmark.resclip for module in (VOC21, VOC20, COCOStuff)}
    assert [s.rcs for s in settings.values()] == [(2.0, 0.3), (2.0, 0.6), (2.0, 0.4)]
    assert [s.sfr for s in settings.values()] == [(2.2, 0.7), (2.1, 0.6), (1.8, 0.7)]
    assert [s.sfr_threshold for s in settings.values()] == [0.5, 0.1, 0.11]


def test_names_stand_in_the_order_of_the_classes():
    assert VOC21().benchmark.classes[0] == "background"
    assert VOC20().benchmark.classes == VOC21().benchmark.classes[1:]
    assert VOC20().benchmark.synonyms == VOC21().benchmark.synonyms[1:]
    assert VOC20().benchmark.palette.tolist() == VOC21().benchmark.palette[1:].tolist()
    assert not VOC20().benchmark.scores_boundaries
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
    with pytest.raises(DataError, match=r"no class file .*nowhere\.txt.*coco_stuff\.txt, voc20\.txt, voc21\.txt"):
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
