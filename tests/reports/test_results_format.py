"""results.json: what docs/results.schema.json says of it, files of version 0.1, and those of a later one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sclip_lightning.errors import RunError
from sclip_lightning.records import Seams, load_records
from sclip_lightning.reports.published import Figure, judged
from sclip_lightning.reports.results import FORMAT, VERSION, Results, results_of
from tests.records.synthetic import make_run

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "results.schema.json").read_text())
#: What files of version 0.1 do not have.
LATER = ("format", "version", "intervals", "published", "seams")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "run"
    run = make_run(folder, images=5, protocol={"crop": "whole image", "refined": None, "second_pass": [3, 8]})
    figure = judged(Figure("SCLIP", "README", "there", "mIoU", 59.63, 2), 0.5, "32-true", reasons=["why"])
    results = replace(results_of(run, load_records(folder)), published=[figure], skipped={"x": "torn"})
    results.seams = Seams(40, 10, 600, 60).shares() | Seams(40, 10, 600, 60)._asdict()
    results.metrics["bF1@3px"] = None
    results.save(folder)
    return folder / "results.json"


@pytest.fixture
def folder(written, tmp_path):
    """The folder of a run, with nothing but its results."""
    shutil.copyfile(written, tmp_path / "results.json")
    return tmp_path


def errors(content):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(content)]


def test_a_written_file_is_as_the_schema_says(folder):
    content = json.loads((folder / "results.json").read_text())
    assert errors(content) == []
    assert (content["format"], content["version"]) == (FORMAT, VERSION)
    assert set(content) == set(SCHEMA["properties"])  # neither of them has what the other has not


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "other"},
        {"metrics": {"mIoU": 59.63}},
        {"intervals": {"mIoU": [0.1]}},
        {"protocol": {"crop": 224}},
        {"protocol": {"images": "all"}},
        {"published": [{"method": "SCLIP"}]},
        {"seams": {"share": 0.25}},
        {"seams": {}},
        {"more": 1},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_none(folder, change):
    assert errors(json.loads((folder / "results.json").read_text()) | change) != []


def test_files_in_the_documentation_are_as_the_schema_says():
    paths = sorted((DOCS / "results").rglob("results.json"))
    assert [path for path in paths if errors(json.loads(path.read_text()))] == []
    assert len(paths) >= 7


def test_what_is_written_is_read(folder):
    results = Results.load(folder)
    results.save(folder)
    assert Results.load(folder) == results
    assert results.published[0].verdict == "differs"
    assert results.intervals["mIoU"][0] < results.metrics["mIoU"] < results.intervals["mIoU"][1]


def test_without_windows_there_are_no_seams(folder):
    content = json.loads((folder / "results.json").read_text())
    assert (content["seams"]["share"], content["seams"]["ratio"]) == (0.25, 2.5)
    assert errors(content | {"seams": None}) == []
    assert errors({name: value for name, value in content.items() if name != "seams"}) == []  # written before seams


def test_a_file_of_version_0_1_is_read(folder):
    content = json.loads((folder / "results.json").read_text())
    old = {name: value for name, value in content.items() if name not in LATER}
    assert errors(old) == []
    now = Results.load(folder)
    (folder / "results.json").write_text(json.dumps(old))
    assert Results.load(folder) == replace(now, intervals={}, published=[], seams=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": VERSION + 1}, "which a later sclip_lightning wrote"),
        ({"format": "other"}, "cannot be read as the results of a run"),
        ({"version": "x"}, "cannot be read as the results of a run"),
        ({"published": [{"method": "SCLIP"}]}, "cannot be read as the results of a run"),
        ({"more": 1}, "cannot be read as the results of a run"),
    ],
)
def test_other_files_are_refused(folder, change, message):
    content = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(content | change))
    with pytest.raises(RunError, match=message):
        Results.load(folder)


def test_a_list_is_no_results(folder):
    (folder / "results.json").write_text("[]")
    with pytest.raises(RunError, match="cannot be read"):
        Results.load(folder)
