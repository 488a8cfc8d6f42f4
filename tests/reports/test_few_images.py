"""Intervals over one image, and over few."""

import json
from pathlib import Path

import numpy as np
import pytest

from sclip_lightning.cli import main
from sclip_lightning.commands.ablate import for_reading, summarise
from sclip_lightning.records import load_records
from sclip_lightning.reports.comparison import FEW, paired_bootstrap, remark_on, tabulate
from sclip_lightning.reports.results import results_of
from tests.records.synthetic import BOUNDARIES, make_record, make_run


def compare(images):
    a, b = (tabulate([make_record(i, seed=seed) for i in range(images)], 21, BOUNDARIES) for seed in (0, 1))
    return paired_bootstrap(a, b, resamples=20)


def test_one_image_has_no_interval():
    for difference in compare(1):
        assert difference.a != difference.b
        assert np.isnan([difference.low, difference.high]).all()
        assert difference.images == 1
    assert not np.isnan([difference.low for difference in compare(2)]).any()


def test_what_counts_is_how_many_images_have_the_score():
    records = [[make_record(i, seed=seed) for i in range(25)] for seed in (0, 1)]
    for one in (record for run in records for record in run[1:]):
        one.counts.boundaries["bF1@3px"] = np.zeros((5, 0), np.int64)
    differences = paired_bootstrap(*(tabulate(one, 21, BOUNDARIES) for one in records), resamples=20)
    found = {difference.metric: difference for difference in differences}
    assert np.isnan(found["bF1@3px"].low)
    assert found["mIoU"].low < found["mIoU"].high
    assert remark_on(differences).startswith("Few images have the scores bF1@3px (1, fewer")


def test_few_images_are_remarked_on():
    assert "mIoU" in remark_on(compare(FEW - 1))
    assert remark_on(compare(FEW)) is None


def test_compare_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a", "b")):
        make_run(Path(name), images=30, recorded=1, seed=seed)
    main(["compare", "a", "b"])
    assert "Few images have the scores mIoU" in capsys.readouterr().out
    main(["compare", "a", "b", "--format", "json"])
    rows = [row for row in json.loads(capsys.readouterr().out) if row["kind"] == "score"]
    assert {(row["from"], row["to"]) for row in rows} == {(None, None)}


@pytest.mark.parametrize("images", [1, 25])
def test_ablate_says_so(tmp_path, images):
    folders = [tmp_path / name for name in ("baseline", "rcs")]
    for seed, folder in enumerate(folders):
        run = make_run(folder, images=images, seed=seed)
        results_of(run, load_records(folder), {"peak memory GiB": 1.0}).save(folder)
    rows, remarks = summarise(["baseline", "rcs"], folders)
    cell = for_reading(rows)[1]["mIoU"]
    assert ("[" in cell) == (images > 1)
    assert bool(remarks) == (images < FEW)


def test_rows_are_compared_on_the_images_that_all_have(tmp_path):
    folders = [tmp_path / name for name in ("baseline", "rcs")]
    for seed, folder in enumerate(folders):
        run = make_run(folder, images=25, recorded=25 - seed, seed=seed)
        results_of(run, load_records(folder), {"peak memory GiB": 1.0}).save(folder)
    rows, _ = summarise(["baseline", "rcs"], folders)
    assert [row["images"] for row in rows] == [24, 24]
