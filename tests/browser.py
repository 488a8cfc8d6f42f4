"""Chromium for tests marked ``browser``; without network, since pages are files or on 127.0.0.1."""

import shutil

import pytest

__all__ = ["chromium", "wait_for"]

#: Names of the browser and its driver on PATH, the first that is there.
BROWSERS, DRIVERS = ("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)


def _found(names):
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium():
    """A browser, the same for all tests of a worker; the driver is given by its path, so that nothing is fetched."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[dev]'")
    browser, driver = _found(BROWSERS), _found(DRIVERS)
    if browser is None or driver is None:
        pytest.skip("chromium and chromedriver are not on PATH: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.add_argument("--window-size=1400,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    started.set_page_load_timeout(60)
    yield started
    started.quit()


def wait_for(browser, script, seconds=20):
    """What a script returns, once that is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, poll_frequency=0.05).until(lambda _: browser.execute_script(script))
