"""A few hundred damaged files in formats that are met; ``python -m tests.faults.fuzz`` tries more."""

import pytest
from PIL import Image

from tests.faults.fuzz import READERS, attempt, damaged, look_at, whole_files

#: Damaged files, of every whole one the same number.
FILES = 34 * len(whole_files())


@pytest.mark.parametrize("number", range(len(whole_files())))
def test_whole_files_are_read(tmp_path, number):
    suffix, content = whole_files()[number]
    path = tmp_path / f"whole{suffix}"
    path.write_bytes(content)
    read = {name for name, value in look_at(path).items() if value is not None}
    assert read >= ({"mask_size", "labels"} if suffix == ".mat" else {"image_size", "read_image", "to_rgb", "resized"})


@pytest.mark.slow
def test_damaged_files_end_in_pixels_or_in_a_sentence(tmp_path):
    assert FILES > 500
    outcomes = [attempt(number, tmp_path) for number in range(FILES)]
    refused = sum(not read for read in outcomes)
    # Damage is to be hard enough to matter, and soft enough to get past the first bytes.
    assert FILES / 4 < refused < 3 * FILES / 4
    for name in READERS:
        assert sum(name in read for read in outcomes) > 20


def test_a_number_always_gives_the_same_file():
    assert damaged(7) == damaged(7) != damaged(7 + len(whole_files()))


def test_what_gets_through_is_noticed(tmp_path, monkeypatch):
    """The check itself can fail."""

    def fails(*_, **__):
        raise RuntimeError("not a sentence about the file")

    monkeypatch.setattr("sclip_lightning.data.reading.transforms.rescaled_size", fails)
    monkeypatch.setitem(READERS, "resized", lambda path: fails())
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(RuntimeError):
        look_at(tmp_path / "a.png")
