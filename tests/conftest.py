import pytest

from sclip_lightning.demo.benchmark import write_scenes
from tests import tiny_clip as clips
from tests.golden import fail_without_recording


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    fail_without_recording(item)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """Name of a tiny CLIP on disk, for ``architecture``."""
    return clips.write_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture(scope="session")
def example():
    """A random CLIP in memory with an image and queries."""
    return clips.example()


@pytest.fixture(scope="session")
def demo_scenes(tmp_path_factory):
    """Folder with the first ten test scenes of the demo."""
    folder = tmp_path_factory.mktemp("demo") / "scenes"
    write_scenes(folder, "test", 10)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("SCLIP_CACHE", str(tmp_path_factory.mktemp("cache")))
