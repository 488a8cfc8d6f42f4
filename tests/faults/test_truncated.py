"""Files of a run, cut off after every single byte."""

import pytest

from sclip_lightning.errors import RunError
from sclip_lightning.records import ImageRecord, RecordWriter, load_records
from sclip_lightning.records.run import Run
from sclip_lightning.reports.results import Results, results_of
from tests.records.synthetic import make_record, make_run


def test_records_cut_off_anywhere_keep_the_whole_lines(tmp_path):
    records = [make_record(0, pairs=3), ImageRecord("skipped", skipped="no image"), make_record(1, pairs=3)]
    writer = RecordWriter(tmp_path, 0, 0)
    ends = []
    for record in records:
        writer.add(record)
        ends.append(writer.path.stat().st_size)
    writer.close()
    content = writer.path.read_bytes()
    for length in range(len(content) + 1):
        writer.path.write_bytes(content[:length])
        found = load_records(tmp_path)
        whole = [record for record, end in zip(records, ends, strict=True) if end <= length]
        assert found.images == sorted((r for r in whole if r.skipped is None), key=lambda record: record.id)
        assert found.skipped == [record for record in whole if record.skipped is not None]
        assert found.damaged == (length not in (0, *ends))


def test_a_line_written_after_a_torn_one_in_another_file_counts(tmp_path):
    first = RecordWriter(tmp_path, 0, 0)
    first.add(make_record(0))
    first.close()
    first.path.write_bytes(first.path.read_bytes()[:-7])
    second = RecordWriter(tmp_path, 1, 0)
    second.add(make_record(0))
    second.close()
    found = load_records(tmp_path)
    assert (found.images, found.damaged) == ([make_record(0)], 1)


@pytest.mark.parametrize("name", ["run.json", "results.json"])
def test_descriptions_cut_off_anywhere_are_refused_in_a_sentence(tmp_path, name):
    run = make_run(tmp_path / "a", images=1, num_classes=1)
    results_of(run, load_records(tmp_path / "a")).save(tmp_path / "a")
    path, load = tmp_path / "a" / name, Run.load if name == "run.json" else Results.load
    content = path.read_bytes()
    for length in range(len(content) - 1):  # the last byte ends the line
        path.write_bytes(content[:length])
        with pytest.raises(RunError, match=name):
            load(tmp_path / "a")
    path.write_bytes(content[:-1])
    assert load(tmp_path / "a") is not None
