from dataclasses import replace
from pathlib import Path

import pytest

from sclip_lightning.errors import RunError
from sclip_lightning.records import ImageRecord, RecordWriter, load_records
from tests.records.synthetic import make_record


def write(folder, *records, session=0, rank=0):
    writer = RecordWriter(folder, session, rank)
    for record in records:
        writer.add(record)
    writer.close()
    return writer.path


def test_every_record_is_on_disk_before_the_next(tmp_path):
    writer = RecordWriter(tmp_path, 0, 0)
    assert load_records(tmp_path).images == []
    for index in range(3):
        writer.add(make_record(index))
        assert len(load_records(tmp_path).images) == index + 1


def test_records_of_all_files_in_the_order_of_the_data_set(tmp_path):
    write(tmp_path, make_record(4), make_record(0))
    write(tmp_path, make_record(2), rank=1)
    write(tmp_path, make_record(1), session=1)
    assert [int(record.id) for record in load_records(tmp_path).images] == [0, 1, 2, 4]
    assert [int(record.id) for record in load_records(tmp_path, session=1).images] == [1]
    assert [int(record.id) for record in load_records(tmp_path).of(["000000000002"]).images] == [2]


def test_damaged_lines_are_missing_images(tmp_path):
    path = write(tmp_path, *(make_record(index) for index in range(4)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:50] + b"\n" + lines[2] + lines[3][:-20])
    records = load_records(tmp_path)
    assert [int(record.id) for record in records.images] == [0, 2]
    assert records.damaged == 2


def test_of_several_records_the_best_and_latest(tmp_path):
    first, skipped = make_record(0), ImageRecord(make_record(0).id, time=9e9, skipped="later")
    write(tmp_path, first)
    write(tmp_path, skipped, session=1)
    records = load_records(tmp_path)
    assert records.images == [first]
    assert records.skipped == []
    same = replace(first, time=first.time + 1)
    write(tmp_path, same, session=2)
    assert load_records(tmp_path).images == [same]
    assert load_records(tmp_path).conflicting == ()
    other = replace(first, counts=make_record(1).counts, time=first.time + 2)
    write(tmp_path, other, session=3)
    assert load_records(tmp_path).images == [other]
    assert load_records(tmp_path).conflicting == (first.id,)


def test_full_disk(tmp_path):
    writer = RecordWriter(tmp_path, 0, 0)
    writer.path.parent.mkdir()
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    writer.path.symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"No space left.*go on from there"):
        writer.add(make_record(0))


def test_folder_in_the_way(tmp_path):
    (tmp_path / "records").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        RecordWriter(tmp_path, 0, 0).add(make_record(0))
    (tmp_path / "run/records/0000-x.jsonl").mkdir(parents=True)
    with pytest.raises(RunError, match="cannot be read"):
        load_records(tmp_path / "run")
