from dataclasses import replace

import pytest

from sclip_lightning.records import ImageCounts, ImageRecord, Seams
from tests.records.synthetic import make_record


def test_a_line_gives_the_record_back():
    counted = replace(make_record(3), counts=replace(make_record(3).counts, seams=Seams(9, 2, 70, 5)))
    for record in (make_record(3), counted, ImageRecord("é/b", skipped="no image"), ImageRecord("empty")):
        line = record.to_line()
        assert line.count(b"\n") == 1
        assert ImageRecord.from_line(line) == record


def test_no_part_of_a_line_is_a_record():
    line = make_record(3).to_line()
    for length in range(len(line)):
        assert ImageRecord.from_line(line[:length]) is None
        assert length == 0 or ImageRecord.from_line(line[length:]) is None


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_a_flipped_bit_is_noticed(position):
    line = bytearray(make_record(3).to_line())
    line[position] ^= 1
    assert ImageRecord.from_line(bytes(line)) is None


def test_equality_of_counts():
    assert make_record(1).counts == make_record(1).counts
    assert make_record(1).counts != make_record(2).counts
    assert ImageCounts() != 0
    assert ImageCounts(seams=Seams(4, 1, 9, 2)) != ImageCounts(seams=Seams(4, 2, 9, 1)) != ImageCounts()
