"""Which rows there are, as the methods' files have them."""

import re
from pathlib import Path

import pytest

from sclip_lightning.commands.parsing.benchmarks import published_benchmarks
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import load_method, method_names
from sclip_lightning.reproducing.rows import demo_rows, every_row, rows_of


def test_every_published_figure_is_a_target_or_says_why_not():
    rows = {str(row): row for row in every_row()}
    assert len(rows) == len(every_row())  # names tell them apart
    held = {(figure.method, figure.title, row.benchmark): figure for row in rows.values() for figure in row.figures}
    for name in method_names():
        facts = load_method(name)
        for figures in facts.published:
            for benchmark, value in figures.miou.items():
                found = held.pop((facts.name, figures.title, benchmark), None)
                if figures.no_target or isinstance(value, str):
                    assert found is None
                else:
                    assert found.value == value
    assert held == {}


def test_benchmarks_are_called_as_data_and_folders_are():
    names = [benchmark.name for benchmark in published_benchmarks()]
    assert {row.benchmark for row in [*every_row(), *demo_rows()]} <= {*names}


def test_lists_that_the_same_arguments_compute_share_a_run():
    (row,) = rows_of("sclip", ["VOC21"])
    assert [(figure.title, figure.published_text()) for figure in row.figures] == [
        ("authors' README", "59.63"),
        ("paper", "59.1"),
    ]
    assert row.arguments == ("--method", "sclip", "--data", "VOC21")


def test_what_a_list_was_made_with_is_given():
    rows = {row.name: row for row in rows_of("naclip", ["ADE20K"])}
    assert rows["naclip-pamr"].arguments == ("--method", "naclip", "--config=pamr.yaml", "--data", "ADE20K")
    assert set(rows) == {"naclip-pamr", "naclip"}
    assert [row.name for row in rows_of("naclip", ["ADE20K"], ["pamr"])] == ["naclip-pamr"]
    (row,) = rows_of("sclip", ["VOC21"], ["paper"])
    assert [figure.title for figure in row.figures] == ["paper"]


def test_digits_are_those_of_the_list():
    (row,) = rows_of("resclip", ["Cityscapes"], ["on ClearCLIP"])
    assert row.figures[0].published_text() == "34.5"
    (row,) = rows_of("resclip", ["COCOObject"], ["on ClearCLIP"])
    assert row.figures[0].published_text() == "34.0"  # which YAML reads as 34.0, and some write as 34


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nacli",), "Did you mean naclip.*by the name demo"),
        (("sclip", ["VOC2"]), "--data VOC2 is no benchmark"),
        (("ovstitcher",), "written descriptions of the classes"),
        (("presence",), "no figure for its parts was found"),
        (("naclip", ["VOC21", "COCOStuff10k"]), "NACLIP has no figure on COCOStuff10k"),
        (("sclip", [], ["table 9"]), "no figure with 'table 9' in its title"),
        (("demo", ["VOC21"]), "The demo has no figure on VOC21"),
    ],
)
def test_what_is_no_row_is_an_error_that_says_what_there_is(arguments, message):
    with pytest.raises(ConfigError, match=message):
        rows_of(*arguments)


def test_the_demo_has_the_digits_of_the_guide(guide_digits):
    for row in demo_rows():
        if row.name in guide_digits:
            assert [f"{figure.value:.2f}" for figure in row.figures] == guide_digits[row.name]
            assert all(figure.decimals == 3 and figure.precision == "32 bit" for figure in row.figures)
    assert set(guide_digits) < {row.name for row in demo_rows()}


@pytest.fixture
def guide_digits():
    """The first digits of two rows of the table of the demo's ablation."""
    text = (Path(__file__).parents[2] / "docs/guide.md").read_text()
    rows = {"demo-baseline": "baseline", "demo": r"\+ ResCLIP \+ LoftUp \+ DenseCRF"}
    found = {name: re.search(rf"^\| {title} \| (.*?) \|$", text, re.MULTILINE) for name, title in rows.items()}
    return {name: [cell.split()[0] for cell in row[1].split(" | ")[:3]] for name, row in found.items()}
