"""Which record of an image counts, and that positions are no part of records."""

from dataclasses import replace
from zlib import crc32

import pytest

from sclip_lightning.errors import RunError
from sclip_lightning.records import ImageRecord, RecordWriter, load_records
from sclip_lightning.reports.results import results_of
from tests.records.synthetic import make_record, make_run


def write(folder, session, *records):
    writer = RecordWriter(folder, session, rank=0)
    for record in records:
        writer.add(record)
    writer.close()
    return writer.path


@pytest.mark.parametrize("sessions", [(0, 1), (9999, 10000)])
def test_after_the_clock_was_set_back_the_later_session_counts(tmp_path, sessions):
    first = make_record(0)
    second = replace(first, counts=make_record(1).counts, time=first.time - 86400)
    for session, record in zip(sessions, (first, second), strict=True):
        write(tmp_path, session, record)
    records = load_records(tmp_path)
    assert records.images == [second]
    assert records.conflicting == (first.id,)


def test_a_later_skip_does_not_undo_a_score_and_a_later_score_undoes_a_skip(tmp_path):
    scored, skipped = make_record(0), ImageRecord(make_record(0).id, time=9e9, skipped="unreadable")
    write(tmp_path, 0, skipped)
    write(tmp_path, 1, scored)
    write(tmp_path, 2, replace(skipped, skipped="still unreadable"))
    assert load_records(tmp_path).images == [scored]
    assert load_records(tmp_path).skipped == []
    assert load_records(tmp_path, session=2).skipped[0].skipped == "still unreadable"


def test_the_order_asked_for_is_the_order_given(tmp_path):
    write(tmp_path, 0, *(make_record(index) for index in (2, 0, 1)), ImageRecord("x", skipped="no"))
    ids = [make_record(index).id for index in (1, 2, 0)]
    records = load_records(tmp_path).of(["x", *ids])
    assert [record.id for record in records.images] == ids
    assert [record.id for record in records.skipped] == ["x"]


def test_a_line_of_another_format_is_refused_with_its_place(tmp_path):
    make_run(tmp_path / "run", images=1)
    path = write(tmp_path / "run", 1, make_record(0))
    text = b'{"index":0,"id":"a","status":"scored","seconds":1,"time":1}'
    path.write_bytes(path.read_bytes() + b'{"crc32": "%08x", "record": %b}\n' % (crc32(text), text))
    with pytest.raises(RunError, match=rf"Line 2 of .*{path.name} has no format number, but .* reads format 2\. Read"):
        load_records(tmp_path / "run")
    text = text.replace(b'{"index"', b'{"format":99,"index"')
    path.write_bytes(b'{"crc32": "%08x", "record": %b}\n' % (crc32(text), text))
    with pytest.raises(RunError, match="has format 99"):
        load_records(tmp_path / "run")


def test_a_foreign_file_among_records_is_named(tmp_path):
    path = write(tmp_path, 0, make_record(0))
    path.rename(path.with_name("copy.jsonl"))
    with pytest.raises(RunError, match=r"copy\.jsonl is no file of records.*Move it"):
        load_records(tmp_path)


def test_damaged_lines_are_shown(tmp_path):
    run = make_run(tmp_path / "run", images=3)
    assert not any("damaged" in note for note in results_of(run, load_records(tmp_path / "run")).notes)
    path = write(tmp_path / "run", 1, make_record(0))
    path.write_bytes(path.read_bytes()[:-5])
    (note,) = [note for note in results_of(run, load_records(tmp_path / "run")).notes if "damaged" in note]
    assert note.startswith("1 line of the records torn or damaged")
