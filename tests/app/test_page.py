"""The page in a real browser, with the demo's network and without any other."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.app.drawn import demo_classes
from sclip_lightning.app.server import served, temporary_folder
from sclip_lightning.commands.app import make_page, parse
from tests.browser import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TEXT = "return document.querySelector('{}')?.textContent"
ROWS = "return [...document.querySelectorAll('.sclip-row')].map(row => row.innerText.split('\\n'))"
HOW = TEXT.format(".sclip-how")


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    """The page, opened; with an address, the server's folder and the downloads."""
    pytest.importorskip("gradio")
    empty = tmp_path_factory.mktemp("empty")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for variable in ("HOME", "SCLIP_CACHE"):
            patch.setenv(variable, str(empty))
        patch.chdir(empty)
        folder = stack.enter_context(temporary_folder())
        # DenseCRF makes nearly every pixel certain: without it a threshold has something to do.
        fewer = "--model.refiners=null"
        built = make_page(parse(["--config", "demo.yaml", fewer, "--classes", f"{demo_classes()}, <b>cow</b>"]), folder)
        address = stack.enter_context(served(built, "127.0.0.1", None, 0.5))
        early = {"source": "performance.setResourceTimingBufferSize(5000)"}
        chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", early)
        where = {"behavior": "allow", "downloadPath": str(tmp_path_factory.mktemp("downloads"))}
        chromium.execute_cdp_cmd("Browser.setDownloadBehavior", where)
        chromium.get(address)
        wait_for(chromium, "return document.querySelectorAll('.sclip-row').length == 21", 60)
        yield chromium, address, folder, where["downloadPath"]
        outside = chromium.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
        assert len(outside) > 20
        assert [one for one in outside if not one.startswith((address, "data:", "blob:"))] == []
        assert not [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
        chromium.get("about:blank")  # the page would look for its server
    assert list(empty.iterdir()) == []
    assert not folder.exists()


def send(browser, selector, *keys):
    element = browser.find_element("css selector", selector)
    if element.tag_name == "textarea":
        element.clear()
    element.send_keys(*keys)


def at(browser, x, y):
    """Move the pointer over the picture, to shares of its width and height; returns what is said there."""
    from selenium.webdriver import ActionChains

    canvas = browser.find_element("css selector", ".sclip-canvas")
    size = browser.execute_script("return [arguments[0].clientWidth, arguments[0].clientHeight]", canvas)
    ActionChains(browser).move_to_element_with_offset(canvas, (x - 0.5) * size[0], (y - 0.5) * size[1]).perform()
    return wait_for(browser, TEXT.format(".sclip-name"))


def test_names_are_seen_where_the_pointer_is(page):
    browser, *_ = page
    rows = {name: share for name, share, *_ in browser.execute_script(ROWS)}
    assert "<b>cow</b>" in rows, "a name is text"
    found = {at(browser, x, y) for x in (0.2, 0.5, 0.8) for y in (0.2, 0.4)}
    assert found
    assert all(rows[name] != "0 %" for name in found)
    assert "The image's network ran" in browser.execute_script(HOW)


def test_other_classes_and_a_threshold_run_no_network(page):
    from selenium.webdriver.common.keys import Keys

    browser, *_ = page
    send(browser, "#classes textarea", "sky, leaves=foliage, house")
    browser.find_element("css selector", "#segment").click()
    wait_for(browser, "return document.querySelectorAll('.sclip-row').length == 3")
    assert "Features kept, no network run" in browser.execute_script(HOW)
    browser.find_element("css selector", "#background input").click()
    wait_for(browser, "return document.querySelectorAll('.sclip-row').length == 4")
    before = browser.execute_script(ROWS)
    wait_for(browser, "return !document.querySelector('#threshold input[type=range]').disabled")
    send(browser, "#threshold input[type=range]", Keys.END)
    wait_for(browser, f'return JSON.stringify((() => {{ {ROWS} }})()).startsWith(\'[["background","100 %"\')')
    assert before[0] != ["background", "100 %"]
    assert "Features kept, no network run" in browser.execute_script(HOW)


def test_a_class_is_shown_as_a_heat_map(page):
    browser, *_ = page
    row = next(row for row in browser.find_elements("css selector", ".sclip-row") if "sky" in row.text)
    row.click()
    wait_for(browser, "return document.querySelector('.sclip-row[aria-pressed=true]')")
    wait_for(browser, "return getComputedStyle(document.querySelector('.sclip-scale')).display == 'flex'")
    name, _, share = at(browser, 0.5, 0.9).partition(": ")
    assert name == "sky"
    assert share.endswith(" %") and 0 <= int(share.split()[0]) <= 100


def test_labels_are_downloaded_as_predict_writes_them(page):
    browser, _, _, downloads = page
    browser.find_element("css selector", "#make-labels").click()
    from selenium.webdriver.support.ui import WebDriverWait

    waiting = WebDriverWait(browser, 30, poll_frequency=0.05)
    (file,) = waiting.until(lambda _: list(Path(downloads).glob("*-labels.png")))
    with Image.open(file) as labels:
        assert (labels.mode, labels.size) == ("P", (240, 208))
        assert (np.asarray(labels) == 0).all()  # the threshold is 1


def test_another_method_brings_its_parts_and_numbers(page):
    from selenium.webdriver.common.keys import Keys

    browser, *_ = page
    field = browser.find_element("css selector", "#method input")
    field.click()
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("NACLIP", Keys.ENTER)
    wait_for(browser, "return document.querySelectorAll('#parts input:checked').length == 0")
    # without the threshold of before, classes are back
    wait_for(browser, f"return (() => {{ {ROWS} }})().some(row => row[0] == 'sky' && row[1] != '0 %')")
    assert browser.execute_script("return document.querySelector('#threshold input[type=range]').value") == "0.1"


def test_a_bad_file_is_said_to_be_one(page, tmp_path):
    browser, *_ = page
    (tmp_path / "words.png").write_bytes(b"no image")
    (tmp_path / "large.png").write_bytes(bytes(600_000))
    clear = "#image button[aria-label*=Remove], #image button[aria-label*=Clear]"
    browser.find_element("css selector", clear).click()
    field = "#image input[type=file]"
    wait_for(browser, f"return document.querySelector('.sclip-empty') && document.querySelector('{field}')")
    send(browser, field, str(tmp_path / "large.png"))
    said = wait_for(browser, TEXT.format(".toast-body"))
    print("SAID", said)
    wait_for(browser, f"return document.querySelector('{field}')")
    send(browser, field, str(tmp_path / "words.png"))
    wait_for(browser, "return document.querySelector('.toast-body').textContent.includes('words.png')")
    said = browser.execute_script(TEXT.format(".toast-body"))
    assert "words.png cannot be read as an image" in said
    assert "Give a JPEG or PNG file." in said
