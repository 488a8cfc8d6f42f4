"""``sclip report --format html`` as a user types it: what is in the page, and what is refused."""

import json
import re
import shutil
import zlib
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.commands.report import IMAGE_KINDS
from sclip_lightning.reports.cells import printable
from sclip_lightning.reports.html import KINDS, pack
from tests.records.synthetic import make_run
from tests.report_runs import CLASSES, SIZE, write_runs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_runs(folder)
    return folder / "runs"


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    """Copies of both runs, as given on the command line."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "runs")
    return sorted(map(str, Path("runs").glob("*/*")))


class Page(HTMLParser):
    """A page's elements, and the text of its scripts with an id."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.blocks, self._in = [], [], {}, None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self._in = dict(attributes).get("id") if tag == "script" else None

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in:
            self.blocks[self._in] = self.blocks.get(self._in, "") + data

    @property
    def data(self):
        return json.loads(self.blocks["data"])

    @property
    def pictures(self):
        return [one for name, text in self.blocks.items() if name.startswith("block-") for one in json.loads(text)]


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as ending:
        main(["report", *arguments])
    assert ending.value.code == 1
    return " ".join(capsys.readouterr().err.split())


def test_names_stay_names(runs, capsys):
    main(["report", *runs, "--format", "html"])
    assert "Written to report.html" in capsys.readouterr().out
    page = Page(Path("report.html"))
    assert page.data["classes"] == [printable(name) for name in CLASSES]
    assert page.tags.count("script") == 3  # data, ours, one block of pictures
    assert not any(character in text for text in page.blocks.values() for character in "<>&")
    assert "\u202e" not in page.source
    assert page.source.count("</html>") == 1


def test_names_of_runs_protocols_and_notes_stay_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = "<img src=x onerror=alert(1)>"
    for seed, name in enumerate((evil, "b")):
        protocol = {evil: f"{evil}{seed}"}
        make_run(Path(name), seed=seed, benchmark=evil, protocol=protocol, notes=[evil])
    main(["report", evil, "b", "--format", "html"])
    page = Page(Path("report.html"))
    assert "img" not in page.tags
    assert evil not in page.source
    assert page.source.count("&lt;img src=x onerror=alert(1)&gt;") >= 6


def test_nothing_is_fetched(runs):
    main(["report", *runs, "--format", "html"])
    page = Page(Path("report.html"))
    assert "default-src 'none'" in page.source
    links = [value for name, value in page.attributes if name in ("src", "href")]
    assert links
    assert all(value.startswith("#") for value in links)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page.source)


def test_numbers_are_those_of_the_run(runs):
    main(["report", *runs, "--format", "html", "--images=all"])
    page = Page(Path("report.html"))
    results = [json.loads(Path(run, "results.json").read_text()) for run in runs]
    for one, found in zip(results, page.data["runs"], strict=True):
        assert f"<b>{100 * one['metrics']['mIoU']:.2f}</b>" in page.source
        assert [row["IoU"] for row in found["rows"]] == [pytest.approx(row["IoU"], abs=1e-5) for row in one["classes"]]
    assert page.data["metrics"] == list(results[0]["metrics"])
    assert [place for place, _ in page.data["shown"]] == list(range(6))
    a, b = page.data["runs"]
    assert sum(row[2] for row in a["confusions"]) > sum(row[2] for row in b["confusions"])
    assert all(found[0] == 1 and found[1] == 2 for found in a["confusions"])  # what the label maps confuse
    assert a["inImages"] == [6, 6, 1, 6]


def test_label_maps_travel_as_they_are(runs, made):
    main(["report", *runs, "--format", "html", "--images=all"])
    pictures = Page(Path("report.html")).pictures
    assert len(pictures) == 6
    for index, picture in enumerate(pictures):
        maps = np.frombuffer(zlib.decompress(b64decode(picture["maps"])), np.uint8).reshape(3, *SIZE)
        truth = np.asarray(Image.open(made.parent / f"data/masks/i{index}.png"))
        labels = [np.asarray(Image.open(Path(run) / f"labels/i{index}.png")) for run in runs]
        np.testing.assert_array_equal(maps, [truth, *labels])
        assert picture["src"].startswith("data:image/webp;base64,")


def test_large_images_become_small_and_keep_their_labels():
    image = np.zeros((600, 800, 3), np.uint8)
    truth = np.zeros((600, 800), np.int64)
    truth[:, 400:] = 299
    packed = pack(image, truth, [None, truth], 300, 200)
    assert (packed.width, packed.height, packed.has) == (200, 150, [False, True])
    maps = np.frombuffer(zlib.decompress(b64decode(packed.maps)), "<u2").reshape(2, 150, 200)
    assert (maps[:, :, :100] == 0).all()
    assert (maps[:, :, 100:] == 299).all()


def test_thumbnails_beside_the_page(runs):
    main(["report", *runs, "--format", "html", "--images=all", "--thumbnails=beside", "--output=out/page.html"])
    sources = [picture["src"] for picture in Page(Path("out/page.html")).pictures]
    assert sources == [f"page_files/{index}.webp" for index in range(6)]
    for source in sources:
        assert Image.open(Path("out", source)).size == SIZE[::-1]
    main(["report", *runs, "--format", "html", "--thumbnails=beside", "--output=out/page.html"])  # its own folder


def test_what_is_no_report_is_not_overwritten(runs, capsys):
    Path("report.html").write_text("<!doctype html>mine")
    assert "no report of this command" in fails(capsys, *runs, "--format=html")
    assert Path("report.html").read_text() == "<!doctype html>mine"
    assert "is a folder" in fails(capsys, *runs, "--format=html", "--output=runs")
    Path("page_files").mkdir()
    beside = ("--format=html", "--output=page.html", "--thumbnails=beside")
    assert "page_files, which is there already" in fails(capsys, *runs, *beside)
    main(["report", *runs, "--format=html", "--output=page.html", "--images=none"])
    main(["report", runs[0], "--format=html", "--output=page.html", "--images=none"])
    assert len(Page(Path("page.html")).data["runs"]) == 1


def test_a_place_that_cannot_be_written_to_is_named(runs, capsys):
    Path("file").write_text("")
    assert "file/report.html" in fails(capsys, *runs, "--format=html", "--output=file/report.html")


def test_without_label_maps_the_page_says_how_to_get_them(runs, capsys):
    shutil.rmtree(Path(runs[0], "labels"))
    main(["report", *runs, "--format=html", "--images=fixed"])
    assert "--predictions.labels true" in capsys.readouterr().err
    page = Page(Path("report.html"))
    assert f"{runs[0]} (6)" in page.source
    assert [picture["has"] for picture in page.pictures] == [[False, True]] * 6


def test_without_images_the_page_shows_the_rest(runs, capsys):
    for run in runs:
        Path(run, "config.yaml").unlink()
    main(["report", *runs, "--format=html"])
    assert "No picture can be drawn without the images" in capsys.readouterr().err
    page = Page(Path("report.html"))
    assert "No picture can be drawn without the images" in page.source
    assert all(picture == {"why": "No picture: see above."} for picture in page.pictures)
    assert len(page.data["runs"][0]["rows"]) == len(CLASSES)


def test_files_that_have_changed_since_are_said(runs, made, capsys):
    shutil.copytree(made.parent / "data", "data")
    for run in runs:
        path = Path(run, "config.yaml")
        path.write_text(path.read_text().replace(str(made.parent / "data"), str(Path("data").absolute())))
    main(["report", *runs, "--format=html"])
    assert capsys.readouterr().err == ""  # copies with other dates are the same files
    Image.fromarray(np.zeros(SIZE, np.uint8)).save("data/masks/i3.png")
    main(["report", *runs, "--format=html"])
    assert "1 of 6 images, the mask" in " ".join(capsys.readouterr().err.split())
    assert "i3.png for one" in Path("report.html").read_text()


def test_a_configuration_in_a_run_runs_no_code(runs, capsys):
    Path("helper.py").write_text("import pathlib; pathlib.Path('touched').touch()\nclass Mine: pass")
    for run in runs:
        Path(run, "config.yaml").write_text("data:\n  class_path: helper.Mine\n")
    main(["report", *runs, "--format=html"])
    assert "helper" in " ".join(capsys.readouterr().err.split())
    assert not Path("touched").exists()


def test_an_image_that_cannot_be_read_is_said(runs):
    Path(runs[0], "labels/i2.png").write_bytes(b"no image")
    main(["report", *runs, "--format=html", "--images=all"])
    pictures = Page(Path("report.html")).pictures
    assert "i2.png" in pictures[2]["why"]
    assert all("src" in picture for index, picture in enumerate(pictures) if index != 2)


def test_unfinished_runs_and_runs_without_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_run(Path("a"), recorded=5)
    make_run(Path("b"), recorded=0)
    main(["report", "a", "b", "--format=html"])
    page = Page(Path("report.html"))
    assert "Unfinished: 15 of 20" in page.source
    assert "fewer than 20" in page.source
    assert page.data["runs"][1]["images"] == [None] * 5


def test_intervals_and_differences(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(Path("a"))
    make_run(Path("b"), seed=1, recorded=15)
    main(["report", "a", "b", "--format=html"])
    text = " ".join(Page(Path("report.html")).source.split())
    assert "the difference to a, in percentage points, over the 15 images that all runs have scored" in text
    assert len(re.findall(r"<small>\d+\.\d\d to \d+\.\d\d</small>", text)) == 12
    assert len(re.findall(r"\[[+−]\d+\.\d\d, [+−]\d+\.\d\d\]", text)) == 6


def test_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(Path("a"))
    make_run(Path("b"), seed=1)
    main(["report", "a", "b", "--format=html", "--show_images=2"])
    shown = Page(Path("report.html")).data["shown"]
    means = [[image["s"][0] for image in run["images"]] for run in Page(Path("report.html")).data["runs"]]
    kinds = {kind: {place for place, own in shown if kind in own} for kind in KINDS}
    assert kinds["worst"] == set(np.argsort(means[0], kind="stable")[:2])
    assert kinds["median"] == set(np.argsort(means[0], kind="stable")[9:11])
    assert kinds["fixed"] == {0, 10}
    assert kinds["differing"] == set(np.argsort(-np.abs(np.subtract(*means)), kind="stable")[:2])


def test_options_that_do_not_go_together(runs, capsys):
    assert tuple(KINDS) == IMAGE_KINDS
    make_run(Path("other"))
    assert "a page is of one benchmark" in fails(capsys, runs[0], "other", "--format=html")
    assert "--output is for --format html" in fails(capsys, runs[0], "--output=x.html")
    assert "leave --table, --per and --metric out" in fails(capsys, runs[0], "--format=html", "--per=class")
    assert "--images best is none of worst" in fails(capsys, runs[0], "--format=html", "--images=best")
    assert "--show_images is 0" in fails(capsys, runs[0], "--format=html", "--show_images=0")
