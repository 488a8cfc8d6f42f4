"""Seams of a run: sums over its images, and no figure where an image lacks the counts."""

from dataclasses import asdict, replace

import pytest
import torch

from sclip_lightning.commands.report import run_report
from sclip_lightning.data import VOC21
from sclip_lightning.engine.evaluation import Evaluation
from sclip_lightning.records import RecordWriter, Seams, load_records, sum_seams
from sclip_lightning.reports.results import results_of, without_nan
from tests.records.synthetic import make_record, make_run


def run_with(folder, *seams):
    """The description of a run with images that were counted so."""
    run = make_run(folder, images=len(seams), recorded=0)
    writer = RecordWriter(folder, session=0, rank=0)
    for index, one in enumerate(seams):
        record = make_record(index)
        writer.add(replace(record, counts=replace(record.counts, seams=one)))
    writer.close()
    return run


def test_pairs_are_added_before_they_are_divided():
    assert sum_seams([Seams(1, 1, 9, 0), Seams(3, 0, 11, 5)]) == (4, 1, 20, 5)
    assert Seams(4, 1, 20, 5).shares() == {"share": 0.25, "share_elsewhere": 0.25, "ratio": 1.0}
    assert Seams(4, 1, 20, 0).shares() == {"share": 0.25, "share_elsewhere": 0.0, "ratio": None}
    assert Seams(4, 1, 0, 0).shares() == {"share": 0.25, "share_elsewhere": None, "ratio": None}


@pytest.mark.parametrize("images", [[], [None], [Seams(4, 1, 20, 5), None], [Seams(0, 0, 0, 0)]], ids=str)
def test_no_figure_where_something_is_lacking(images):
    assert sum_seams(images) is None


def test_a_run_reports_them_beside_unchanged_scores(tmp_path, capsys):
    run = run_with(tmp_path / "a", Seams(10, 1, 100, 5), Seams(10, 2, 0, 0), Seams(0, 0, 0, 0))
    results = results_of(run, load_records(tmp_path / "a"))
    assert results.seams["share"] == 3 / 20
    assert "at borders of windows  15.00 %" in results.table()
    without = results_of(run_with(tmp_path / "b", None, None, None), load_records(tmp_path / "b"))
    assert without.seams is None
    assert "borders" not in without.table()
    assert without_nan(asdict(replace(results, seams=None))) == without_nan(asdict(without))
    run_report([str(tmp_path / "a"), str(tmp_path / "b"), "--format", "csv"])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.endswith(",seams,seams elsewhere")
    assert first.endswith(",0.15,0.05")
    assert second.endswith(",,")


def test_going_on_with_an_earlier_version_gives_a_note_instead(tmp_path):
    run = run_with(tmp_path / "a", None, Seams(10, 1, 100, 5))
    results = results_of(run, load_records(tmp_path / "a"))
    assert results.seams is None
    assert any("1 image was scored by an earlier version" in note for note in results.notes)


def test_counting_them_later_contradicts_nothing(tmp_path):
    run_with(tmp_path / "a", None)
    record = make_record(0)
    for session, seams in enumerate((Seams(10, 1, 100, 5), Seams(10, 2, 100, 4)), 1):
        assert load_records(tmp_path / "a").conflicting == ()
        writer = RecordWriter(tmp_path / "a", session, rank=0)
        writer.add(replace(record, counts=replace(record.counts, seams=seams)))
        writer.close()
    assert load_records(tmp_path / "a").conflicting == (record.id,)


def test_without_borders_an_evaluation_counts_none():
    labels = torch.zeros(4, 4, dtype=torch.int64)
    plain, windows = (Evaluation(VOC21.published).update(labels, labels, borders) for borders in (None, ([2], [])))
    assert plain.seams is None
    assert windows == replace(plain, seams=Seams(4, 0, 20, 0))
