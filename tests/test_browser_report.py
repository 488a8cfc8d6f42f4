"""The page of sclip report and TensorBoard's pages, in Chromium, used as a reader uses them."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from torch.utils.tensorboard import SummaryWriter

from sclip_lightning.cli import main
from sclip_lightning.records import fold
from sclip_lightning.reports.cells import printable
from sclip_lightning.reports.results import Results, without_nan
from sclip_lightning.reports.tensorboard import write_results
from tests.browser import wait_for
from tests.records.synthetic import BOUNDARIES, make_record
from tests.report_runs import CLASSES, write_runs

pytestmark = pytest.mark.browser

NAMES = [printable(name) for name in CLASSES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    runs = [str(run) for run in write_runs(folder)]
    page = ["--format", "html", "--images=all"]
    main(["report", *runs, *page, f"--output={folder}/page.html", "--thumbnails=beside"])
    main(["report", *runs, *page, f"--output={folder}/inside.html"])
    return folder


@pytest.fixture
def page(chromium, folder):
    chromium.get_log("browser")  # what earlier pages said
    chromium.get((folder / "page.html").as_uri())
    yield chromium
    assert chromium.get_log("browser") == []  # neither errors nor anything that the page's policy had to block


def chosen(browser, id_, value):
    """Choose in a select, or set a slider, as a user does."""
    script = (
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change'));"
    )
    browser.execute_script(script, id_, str(value))


def cells(browser, table, column):
    rows = "[...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
    script = f"return {rows}.map((row) => row.cells[arguments[1]].textContent)"
    return browser.execute_script(script, table, column)


def click_heading(browser, table, column):
    script = "document.querySelectorAll(`#${arguments[0]} thead th`)[arguments[1]].querySelector('button').click()"
    browser.execute_script(script, table, column)
    script = "return document.querySelectorAll(`#${arguments[0]} thead th`)[arguments[1]].getAttribute('aria-sort')"
    return browser.execute_script(script, table, column)


def drawn(browser, count):
    """Wait until so many cards have their picture."""
    browser.execute_script("document.getElementById('gallery').scrollIntoView()")
    wait_for(browser, f"return document.querySelectorAll('#cards figure[data-drawn]').length === {count}")


def pixel(browser, x, y, card=0):
    """[3] RGB of a card's picture at a place in its own pixels."""
    script = (
        "const c = document.querySelectorAll('#cards figure canvas')[arguments[2]];"
        "return [...c.getContext('2d').getImageData(arguments[0], arguments[1], 1, 1).data].slice(0, 3)"
    )
    return browser.execute_script(script, x, y, card)


def move_slider(browser, value):
    """Move the boundary on the first card to so many percent of its width."""
    script = "const slider = document.querySelector('#cards figure input'); slider.value = arguments[0];"
    browser.execute_script(f"{script} slider.dispatchEvent(new Event('input'))", value)


@pytest.mark.slow
def test_tables_sort_and_show_names_as_they_are(page):
    assert cells(page, "class-table", 0) == NAMES
    assert page.find_elements("css selector", "#class-table b") == []
    assert click_heading(page, "class-table", 1) == "descending"
    falling = [float(text) for text in cells(page, "class-table", 1)]
    assert falling == sorted(falling, reverse=True)
    assert falling != sorted(falling)
    assert click_heading(page, "class-table", 1) == "ascending"
    assert [float(text) for text in cells(page, "class-table", 1)] == falling[::-1]
    assert click_heading(page, "class-table", 0) == "ascending"
    assert sorted(cells(page, "class-table", 0)) == sorted(NAMES)
    chosen(page, "class-find", "BOLD")
    assert cells(page, "class-table", 0) == [NAMES[1]]
    chosen(page, "class-run", 1)
    assert len(page.find_elements("css selector", "#class-table thead th")) > 8


def test_histograms_and_confusions(page):
    bars = "return [...document.querySelectorAll('#histograms figure')].map((f) => f.querySelectorAll('rect').length)"
    assert page.execute_script(bars) == [20, 20]
    assert page.find_element("css selector", "#histograms figcaption").text.startswith("a: 6 images")
    chosen(page, "confusion-run", 0)
    assert cells(page, "confusion-table", 0) == [NAMES[1]]
    assert cells(page, "confusion-table", 1) == [NAMES[2]]
    assert len(page.find_elements("css selector", "#matrix tbody tr")) == len(NAMES)


def test_a_click_on_a_class_filters_the_gallery(page):
    drawn(page, 6)
    page.execute_script("document.querySelectorAll('#class-table tbody button')[2].click()")
    wait_for(page, "return document.getElementById('gallery-class').value === '2'")
    # Predicted in every image by one of the runs, in the ground truth of one.
    assert page.find_element("id", "gallery-count").text == "6 images"
    chosen(page, "gallery-order", "class/1")
    ids = [title.text for title in page.find_elements("css selector", "#cards .title button")]
    assert ids[-1] != ids[0]
    assert set(ids) == {f"i{index}" for index in range(6)}
    chosen(page, "gallery-kind", "")
    assert page.execute_script("return document.querySelectorAll('#cards figure').length") == 6


@pytest.mark.parametrize("name", ["page.html", "inside.html"])
def test_the_slider_moves_the_boundary_of_two_layers(chromium, folder, name):
    chromium.get((folder / name).as_uri())
    drawn(chromium, 6)
    canvas = chromium.find_element("css selector", "#cards canvas")
    assert (canvas.get_property("width"), canvas.get_property("height")) == (40, 30)
    chosen(chromium, "gallery-order", "data")
    chosen(chromium, "opacity", 100)
    drawn(chromium, 6)

    def shot():
        return chromium.find_element("css selector", "#cards .stage").screenshot_as_png

    def slide(value):
        move_slider(chromium, value)
        return shot()

    chosen(chromium, "layer-left", "truth")
    chosen(chromium, "layer-right", "errors-0")
    left, middle, right = slide(100), slide(50), slide(0)
    assert len({left, middle, right}) == 3
    chosen(chromium, "layer-right", "truth")
    assert slide(100) != left or slide(0) != right
    assert "right" not in chromium.find_element("id", "legend").text.split("The pointer")[0]
    chosen(chromium, "layer-right", "change-1")
    assert "right in b only" in chromium.find_element("id", "legend").text


def test_colours_are_those_of_the_label_maps(chromium, folder):
    """Inside the page, where a script may read pixels of the canvas."""
    chromium.get((folder / "inside.html").as_uri())
    drawn(chromium, 6)
    chosen(chromium, "gallery-order", "data")
    drawn(chromium, 6)
    chosen(chromium, "opacity", 100)
    colours = chromium.execute_script("return JSON.parse(document.getElementById('data').textContent).colours")
    chosen(chromium, "layer-left", "truth")
    chosen(chromium, "layer-right", "prediction-0")
    assert pixel(chromium, 10, 1) == colours[1]
    assert pixel(chromium, 35, 10) == colours[0]
    move_slider(chromium, 0)
    assert pixel(chromium, 10, 1) == colours[2]  # run a is wrong there
    chosen(chromium, "layer-right", "errors-0")
    assert pixel(chromium, 10, 1) == [213, 94, 0]
    assert pixel(chromium, 10, 10) == [0, 114, 178]
    assert pixel(chromium, 35, 1) == [224, 224, 224]  # not scored


def test_the_pointer_names_classes_and_a_click_shows_all_layers(page):
    from selenium.webdriver import ActionChains

    drawn(page, 6)
    chosen(page, "gallery-order", "data")
    drawn(page, 6)
    stage = page.find_element("css selector", "#cards .stage")
    size = stage.size
    ActionChains(page).move_to_element_with_offset(stage, -size["width"] // 4, -size["height"] // 2 + 8).perform()
    assert stage.find_element("css selector", ".names").text == f"truth: {NAMES[1]} · a: {NAMES[2]} · b: {NAMES[1]}"
    page.find_element("css selector", "#cards .title button").click()
    wait_for(page, "return document.querySelectorAll('#large canvas').length === 7")
    page.find_element("css selector", "#large form button").click()
    assert page.find_element("id", "large").get_property("open") is False


@pytest.fixture(scope="module")
def tensorboard(tmp_path_factory):
    """Address of a TensorBoard that shows two runs."""
    logs = tmp_path_factory.mktemp("logs")
    names = [f"class {index}" for index in range(21)]
    for number, run in enumerate(("first", "second")):
        images = [make_record(index, seed=number) for index in range(30)]
        scores = fold(images, names, BOUNDARIES)
        with SummaryWriter(str(logs / run)) as writer:
            results = Results("B", without_nan(scores.metrics), without_nan(scores.classes), {"seed": number})
            write_results(writer, results, images)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logs}", "--host=127.0.0.1", f"--port={port}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*command, "--load_fast=false"], env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, **quiet)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(300):
            try:
                if b"second" in urllib.request.urlopen(f"{address}data/runs", timeout=10).read():
                    break
            except OSError:
                assert server.poll() is None
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(10)


#: Texts of a page whose elements hide theirs in shadow roots.
DEEP = """
const texts = [];
const visit = (node) => {
  if (node.nodeType === 3 && node.textContent.trim()) texts.push(node.textContent.trim());
  if (node.shadowRoot) visit(node.shadowRoot);
  if (!["SCRIPT", "STYLE"].includes(node.nodeName)) node.childNodes.forEach(visit);
};
visit(document.body);
"""


@pytest.mark.slow
def test_tensorboard_shows_headline_scores_first_and_the_course_on_a_page_of_its_own(chromium, tensorboard):
    chromium.get(f"{tensorboard}#timeseries")
    wait_for(chromium, "return document.querySelectorAll('scalar-card').length >= 4", 40)
    cards = chromium.find_elements("css selector", "scalar-card")
    assert "".join(cards[0].text.split()).startswith("headline/1_mIoU")
    assert "".join(cards[1].text.split()).startswith("headline/2_aAcc")
    assert cards[0].rect["y"] < 1000
    chromium.get("about:blank")
    chromium.get(f"{tensorboard}#custom_scalars")
    titles = "return ['mIoU', 'aAcc', 'mAcc', 'mF1', 'bF1@0.75pct', 'bF1@3px'].every((name) => texts.includes(name))"
    wait_for(chromium, DEEP + titles, 40)
    assert chromium.execute_script(DEEP + "return texts.some((text) => text.startsWith('Over the images seen so far'))")
