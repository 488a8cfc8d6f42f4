"""Names of files and classes in tables: no formula, no markup, no second row."""

import csv
import io
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from markdown import markdown
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from sclip_lightning.commands.predict import _class_table
from sclip_lightning.engine.callbacks.tensorboard import write_confusions
from sclip_lightning.records.confusions import largest_confusions
from sclip_lightning.reports.cells import fenced, printable
from sclip_lightning.reports.results import Results
from sclip_lightning.reports.shares import ShareTable
from sclip_lightning.reports.tables import Marked, Points, render
from sclip_lightning.reports.tensorboard import write_results
from sclip_lightning.vocabulary import Vocabulary

FORMULAS = ["=1+1", "+1", "-cat", "@SUM(A1)", '=HYPERLINK("http://x.example")']
MARKUP = [
    *("a|b", "a\nb", "`a`", "*a*", "_a_", "<b>a</b>", "[a](http://x.example)", "![a](x.png)", "a\\|b", "&lt;", "~~a~~"),
    *("weights_sha256", "<script>alert(1)</script>", "\x1b[2Ja"),
]


def shown(text):
    """The cells of a Markdown table as TensorBoard's library makes HTML of it: what stands in them, as HTML."""
    html = markdown(text, extensions=["tables"])
    rows = html.split("<tr>")[1:]
    return [[cell.split(">", 1)[1].split("</t", 1)[0] for cell in row.split("<t")[1:]] for row in rows]


@pytest.mark.parametrize("name", FORMULAS)
def test_no_text_of_a_csv_file_is_a_formula(name, tmp_path):
    row = {"image": name, name: "x", "mIoU": -0.5}
    head, found = csv.reader(io.StringIO(render([row], "csv")))
    assert head == ["image", f"'{name}", "mIoU"]
    assert found == [f"'{name}", "x", "-0.5"]
    Results("B", {}, [{"index": 0, "class": name, "IoU": -0.25}], {}).save(tmp_path)
    (saved,) = csv.DictReader((tmp_path / "per_class.csv").open(newline=""))
    assert (saved["class"], saved["IoU"]) == (f"'{name}", "-0.25")
    assert json.loads((tmp_path / "results.json").read_text())["classes"][0]["class"] == name


def test_a_row_of_a_csv_file_is_a_line():
    assert render([{"image": "a\r\n=1", "b": "\t=1"}], "csv") == "image,b\na\\r\\n=1,\\t=1"


def test_shares_and_classes_of_predictions_hold_no_formulas(tmp_path):
    with ShareTable(tmp_path / "shares.csv", ["=1", "b"]) as table:
        table.add(Path("=x/y.png"), "-y", (2, 3), [0.5, 0.5])
    head, row = csv.reader((tmp_path / "shares.csv").open(newline=""))
    assert head[4:] == ["'=1", "b"]
    assert row[:2] == ["'=x/y.png", "'-y"]
    classes = _class_table(Vocabulary.parse([["=1+1", "two"], ["b"]]))
    assert list(csv.reader(classes.splitlines()))[1][1:3] == ["'=1+1", "'=1+1, two"]


@pytest.mark.parametrize("name", MARKUP)
def test_a_name_is_shown_as_it_is(name):
    rows = shown(render([{"image": name, "mIoU": 0.5}], "markdown"))
    assert len(rows) == 2
    (image, score) = rows[1]
    assert score == "50.00 %"
    assert unescape(image) == printable(name)
    assert not re.search("<|>", image)


#: How LaTeX shows what is a command, a ligature or an argument otherwise.
COMMANDS = {
    **{f"\\{character}": character for character in "&%$#_{}"},
    "\\textbackslash{}": "\\",
    "\\textasciitilde{}": "~",
    "\\textasciicircum{}": "^",
    "\\textbar{}": "|",
    "\\textless{}": "<",
    "\\textgreater{}": ">",
    "\\textasciigrave{}": "`",
    "{[}": "[",
    "{*}": "*",
    "-{}-": "--",
}
PATTERN = re.compile("|".join(map(re.escape, COMMANDS)))


@pytest.mark.parametrize("name", [*MARKUP, "50 % & more", "$x^2_{i}$", "~/runs#1", "a\\\\b", "[3pt]", "*", "--model"])
def test_a_name_in_latex_is_shown_as_it_is(name):
    rows = render([{"image": name, "mIoU": 0.5}], "latex").splitlines()
    (found,) = [row for row in rows if row.endswith(" & 50.00 \\\\")]
    cell = found.removesuffix(" & 50.00 \\\\")
    assert PATTERN.sub(lambda part: COMMANDS[part[0]], cell) == printable(name)
    assert not set(PATTERN.sub("", cell)) & set("\\&%$#_{}~^|<>`[*")
    assert "--" not in cell


def test_values_in_latex():
    text = render(
        [{"a": Points(-0.05), "b": Marked(0.5, "a"), "c": None}, {"a": Points(0.05), "b": 0.25, "c": 3}], "latex"
    )
    assert "$-$5.00 & 50.00\\rlap{\\textsuperscript{a}} & -- \\\\" in text
    assert "$+$5.00 & 25.00 & 3 \\\\" in text


def test_marks_keep_digits_aligned():
    lines = render([{"a": Marked(0.5, "a,b")}, {"a": 0.25}, {"a": None}], "table").splitlines()
    assert lines == ["          a", "50.00 % a,b", "25.00 %", "          -"]


def test_intervals_stay_readable():
    assert "| 50.00 (+1.00 [-0.50, +2.50]) |" in render([{"mIoU": "50.00 (+1.00 [-0.50, +2.50])"}], "markdown")


def test_a_row_of_the_plain_table_is_a_line():
    assert len(render([{"image": "a\nb\x1b[2J\u202e", "mIoU": 0.5}], "table").splitlines()) == 2
    assert (
        printable("d\u00e9j\u00e0 vu \u732b \U0001f469\u200d\U0001f680")
        == "d\u00e9j\u00e0 vu \u732b \U0001f469\u200d\U0001f680"
    )


def test_tensorboard_shows_names_as_they_are(tmp_path):
    writer = SummaryWriter(str(tmp_path))
    confusion = np.array([[5, 2], [1, 5]])
    names = ["a|b", "<b>c</b>"]
    rows = [{"index": i, "class": name, "IoU": 0.5} for i, name in enumerate(names)]
    write_confusions(writer, confusion, names)
    write_results(writer, Results("B", {"mIoU": 0.5}, rows, {"class_file": "x|`y`.txt"}))
    writer.flush()
    events = EventAccumulator(str(tmp_path))
    events.Reload()

    def text(tag):
        return events.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0].decode()

    assert len(largest_confusions(confusion, 9)) == 2
    assert [row[1] for row in shown(text("confusions"))[1:]] == ["a|b", "&lt;b&gt;c&lt;/b&gt;"]
    assert [row[1] for row in shown(text("per_class"))[1:]] == ["a|b", "&lt;b&gt;c&lt;/b&gt;"]
    assert shown(text("protocol"))[1] == ["class_file", "x|`y`.txt"]


def test_no_text_ends_its_own_block():
    html = markdown(fenced("a\n```\n<b>", "yaml"), extensions=["fenced_code"])
    assert html.count("<code") == 1
    assert "<b>" not in html
