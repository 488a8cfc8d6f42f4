"""The tables of docs/reproducing.md and README are those that docs/tables.py makes of the methods' files."""

import re
import runpy
from pathlib import Path

import pytest

from sclip_lightning.model.facts import load_method, method_names
from sclip_lightning.reports.published import Figure
from sclip_lightning.reports.results import Results

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "reproducing.md").read_text()
README = (DOCS.parent / "README.md").read_text()
tables = runpy.run_path(str(DOCS / "tables.py"))
filled = tables["filled"]


@pytest.mark.parametrize("text", [PAGE, README], ids=["reproducing.md", "README.md"])
def test_the_page_has_the_tables_of_the_files(text):
    assert filled(text) == text, "The page differs from the methods' files: run python docs/tables.py"


def test_a_figure_changed_by_hand_would_be_noticed():
    changed = PAGE.replace("59.63", "59.64")
    assert changed != PAGE
    assert filled(changed) == PAGE


@pytest.mark.parametrize("name", method_names())
def test_the_page_leaves_nothing_out(name):
    facts, tables = load_method(name), re.findall(r"^<!-- (.+) -->$", PAGE, re.MULTILINE)
    assert {"methods", "protocols", "stand-ins", f"published {name}"} <= set(tables)
    assert bool(facts.deviations) == (f"deviations {name}" in tables)
    by_benchmark = any(len(table) > 1 for table in facts.hyperparameters.values())
    assert by_benchmark == (f"numbers {name}" in tables)
    for figures in facts.published:
        for value in figures.miou.values():
            assert str(value) in PAGE


@pytest.mark.parametrize("name", method_names())
def test_readme_lists_every_method(name):
    table = README.split("<!-- methods in short -->")[1].split("<!-- end -->")[0]
    rows = [line for line in table.splitlines() if f"`--method {name}`" in line]
    assert len(rows) == 1
    assert load_method(name).arxiv in rows[0]
    assert filled(README.replace(table, table.replace(f"`--method {name}`", "`--method other`"))) == README


def test_a_measured_figure_stands_beside_the_published_one(tmp_path):
    figure = Figure("SCLIP", "paper", "there", "mIoU", 59.1, 1, measured=59.123, verdict="reproduces")
    results = Results("VOC21", {"mIoU": 0.59123}, [{"index": 0, "class": "a", "IoU": 0.5}], {"images": "1 of 1"})
    results.published.append(figure)
    results.save(tmp_path / "VOC21/sclip")
    table = tables["published_table"](load_method("sclip"), tables["measured_figures"](tmp_path))
    assert "| benchmark | authors' README | paper | measured here (paper) |" in table
    assert "| VOC21 | 59.63 | 59.1 | 59.12, reproduces |" in table
    assert "| VOC20 | 81.54 | 80.4 | - |" in table
    assert "measured here" not in tables["published_table"](load_method("sclip"), {})


def test_what_was_measured_is_on_the_page():
    """The demo's ablation, with the digits that the guide has of it."""
    table = PAGE.split("<!-- measured -->")[1].split("<!-- end -->")[0]
    guide = (DOCS / "guide.md").read_text()
    for run in ("baseline", "resclip-loftup-densecrf"):
        (row,) = re.findall(rf"^\| {run} \| measured \| (.*) \|$", table, re.MULTILINE)
        digits = [cell.split()[0] for cell in row.split(" | ")]
        assert len(digits) == 3
        assert any(all(digit in line for digit in digits) for line in guide.splitlines() if line.startswith("|"))
