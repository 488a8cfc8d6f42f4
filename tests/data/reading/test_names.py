"""Names are taken as they are; only what a user types has variables in it."""

import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from sclip_lightning.data import ImageFolder
from sclip_lightning.data.reading.images import find_images, to_rgb
from sclip_lightning.data.reading.layout import expand, list_files, read_ids
from sclip_lightning.errors import DataError
from tests.fake_data import write_own

#: Names without suffix that files may have, odd as they are.
ODD = ["street 1", "$HOME", "~", "~root", "${HOME} and more", "%d {} [a] *?", "straße é", "a\u2028b", "a\x85b", "c.d.e",
       "-rf", "quote\"'", "_labels", "x" * 200]  # fmt: skip


@pytest.fixture
def odd_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for number, name in enumerate(ODD):
        Image.new("L", (3, 2), number).save(tmp_path / f"{name}.png")
    return tmp_path


def test_files_that_are_found(odd_files):
    found = find_images([odd_files])
    assert sorted(file.name for file in found) == sorted(ODD)
    for file in found:
        assert (to_rgb(file.path) == ODD.index(file.name)).all()
    assert sorted(list_files(odd_files, ".png")) == sorted(ODD)


def test_files_that_are_named_from_where_one_stands(odd_files, monkeypatch):
    monkeypatch.chdir(odd_files)
    for number, name in enumerate(ODD):
        (file,) = find_images([f"{name}.png"])
        assert (to_rgb(file.path) == number).all()
        assert (to_rgb(f"{name}.png") == number).all()


def test_variables_in_what_is_typed(tmp_path, monkeypatch):
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand("$PLACE/a") == expand("~/a") == tmp_path / "a"
    assert expand("$PLACE", tmp_path / "below") == tmp_path
    assert expand("$NAME", tmp_path) == tmp_path / "$NAME"
    (tmp_path / "~").mkdir()
    assert expand("~", tmp_path) == tmp_path / "~"
    assert expand("y" * 5000) == Path("y" * 5000)
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    assert to_rgb("$PLACE/a.png").shape == (2, 3, 3)
    with pytest.raises(DataError, match="There is no image"):
        to_rgb(Path("$PLACE/a.png"))


def test_a_list_with_spaces_as_the_guide_has_them(tmp_path):
    base = write_own(tmp_path, 3)
    for ending in ("\n", "\r\n"):
        (base / "val.txt").write_bytes(ending.join(["street 2", "", "  street 0 ", ""]).encode())
        data = ImageFolder(root=str(base), classes=str(base / "classes.txt"), split="val.txt", num_workers=0)
        data.setup()
        assert [sample.id for sample in data.dataset.files] == ["street 2", "street 0"]


def test_lists_of_whole_lines_and_of_words(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\ufeff2008_000002  1\n\n2008_000003 -1\na\u2028b c\n", encoding="utf-8")
    assert read_ids(path, words=True) == ["2008_000002", "2008_000003", "a"]
    assert read_ids(path) == ["2008_000002  1", "2008_000003 -1", "a\u2028b c"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file systems that take text alone")
def test_a_name_that_is_no_text(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.png")).touch()
    for find in (lambda: find_images([tmp_path]), lambda: list_files(tmp_path, ".png")):
        with pytest.raises(DataError, match=r"udcff\.png' is not valid UTF-8.*Rename"):
            find()


def test_a_file_that_is_called_by_the_suffix_alone(tmp_path):
    base = write_own(tmp_path, 1)
    Image.new("L", (64, 48)).save(base / "masks/_l.png")
    (base / "masks/street 0.png").rename(base / "masks/street 0_l.png")
    data = ImageFolder(root=str(base), classes=str(base / "classes.txt"), mask_suffix="_l.png", num_workers=0)
    data.setup()
    assert [sample.id for sample in data.dataset.files] == ["street 0"]
