"""Class files by the words that stand for them, and what those that are shipped hold."""

import pytest

from sclip_lightning.commands.parsing.benchmarks import DATA_SETS
from sclip_lightning.data import VOC20, VOC21, ImageFolder
from sclip_lightning.data.reading.benchmark import CLASS_FOLDER, read_class_file
from sclip_lightning.data.reading.class_files import named_class_files
from sclip_lightning.data.reading.words import SCENE_WORDS, read_words
from sclip_lightning.demo.benchmark import Demo
from sclip_lightning.errors import ConfigError, DataError

PUBLISHED = [data.published for data in DATA_SETS if hasattr(data, "published") and data is not Demo]


@pytest.mark.parametrize("benchmark", PUBLISHED, ids=lambda benchmark: benchmark.name)
def test_plain_names_are_those_of_the_data_set(benchmark):
    names = read_class_file(f"{benchmark.class_file.removesuffix('.txt')}_plain.txt")
    assert names == tuple((name.strip(),) for name in benchmark.classes)


@pytest.mark.parametrize("stem", ["voc21", "context60", "coco_object"])
def test_distractors_are_64_words_in_the_background_beside_plain_names(stem):
    background, *plain = read_class_file(f"{stem}_distractors.txt")
    assert plain == list(read_class_file(f"{stem}_plain.txt")[1:])
    assert (background[0], len(background)) == ("background", 65)
    assert {*background[1:]} <= {*read_words(SCENE_WORDS)}
    assert not {*background} & {name for names in plain for name in names}


def test_every_benchmark_with_a_background_has_distractors():
    files = {file.name for file in CLASS_FOLDER.glob("*_distractors.txt")}
    with_background = [one for one in PUBLISHED if one.classes[0] == "background"]
    assert files == {f"{one.class_file.removesuffix('.txt')}_distractors.txt" for one in with_background}


def test_words_stand_for_what_there_is(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("\n".join(VOC20.published.classes))
    assert named_class_files(VOC21(), []) == {
        "published": None,
        "plain": "voc21_plain.txt",
        "distractors": "voc21_distractors.txt",
    }
    assert list(named_class_files(VOC20(), [])) == ["published", "plain"]
    assert named_class_files(Demo(), [])["plain"] == list(Demo.published.classes)
    assert named_class_files(VOC20(), ["plain", str(mine)]) == {"plain": "voc20_plain.txt", "mine": str(mine)}
    own = ImageFolder(classes=str(mine))
    assert named_class_files(own, ["given", "voc20.txt"]) == {"given": str(mine), "voc20": "voc20.txt"}
    assert own.renamed("voc20.txt").benchmark.classes == own.benchmark.classes


@pytest.mark.parametrize(
    ("data", "given", "message"),
    [
        (VOC21(), ["plain"], "one class file alone, plain"),
        (VOC21(), ["published", "nowhere.txt"], "There is no class file nowhere.txt"),
        (VOC21(), ["voc20_plain.txt", "plain"], "names 20 classes, but VOC21 has 21"),
        (VOC21(), ["given", "plain"], "for VOC21 there are only published, plain, distractors and"),
        (VOC21(classes="voc21_plain.txt"), [], "here --class_files says which names"),
        (VOC20(), ["published", "distractors"], "for VOC20 there are only published, plain and"),
        (VOC20(), ["plain", "plain"], "two files called plain"),
        (ImageFolder(classes=["a", "b"]), [], "one class file alone, given"),
    ],
)
def test_what_cannot_be_is_refused(data, given, message):
    with pytest.raises((ConfigError, DataError), match=message):
        named_class_files(data, given)
