"""What all tests share. A plain ``pytest`` runs the suite on two workers where there are two cores and pytest-xdist."""

import os

# Before torch is imported, here and in every command that a test starts: workers beside each other share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from itertools import count

import pytest
import torch
from filelock import FileLock

from sclip_lightning.cli import main
from sclip_lightning.demo.benchmark import write_scenes
from tests import tiny_clip as clips
from tests.browser import chromium
from tests.dots import dots_for_pictures
from tests.golden import fail_without_recording

__all__ = ["chromium"]  # a fixture, here so that all files of a worker share one browser

#: Workers of a plain ``pytest``; each takes about 1 GiB of memory.
WORKERS = 2


def cores():
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers(config):
    """Workers of a run that does not say how many it wants: 0 for none.

    Tests that are named on the command line are few, and a worker needs seconds to import torch; a debugger and
    ``--capture=no`` need the terminal.
    """
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    option = config.option
    alone = named or option.usepdb or option.trace or option.collectonly or option.capture == "no"
    return 0 if alone or cores() < WORKERS else WORKERS


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Here and not as ``addopts = "-n 2"``, which fails without pytest-xdist and slows one core down."""
    if hasattr(config, "workerinput") or not config.pluginmanager.hasplugin("xdist"):
        return  # a worker comes here, too: it must not start workers of its own
    if config.option.numprocesses is not None or config.option.tx:
        return
    config.option.numprocesses = workers(config)
    if config.option.numprocesses and config.option.dist == "no":
        # Each worker begins with one half of the files, so that it makes most of what a module shares only once.
        config.option.dist = "worksteal"


def pytest_configure(config):
    if os.environ["OMP_NUM_THREADS"] == "1":
        torch.set_num_threads(1)  # in case that a plugin imported torch before this file


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    fail_without_recording(item)


@pytest.fixture(scope="session", autouse=True)
def cache_of_session(tmp_path_factory):
    """What is made once for many tests does not use the user's cache either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCLIP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """A write need not be on the disk before a test goes on: no test cuts the power, and a run waits a dozen times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def caches(tmp_path_factory):
    """New empty folders, in a folder of their own since ``mktemp`` lists all that it has made."""
    parent = tmp_path_factory.mktemp("caches")

    def folders():
        for number in count():
            folder = parent / str(number)
            folder.mkdir()
            yield folder

    return folders()


@pytest.fixture(autouse=True)
def own_cache(caches, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("SCLIP_CACHE", str(next(caches)))


@pytest.fixture
def plain_board():
    """For runs whose event files nobody looks at."""
    with dots_for_pictures():
        yield


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """Name of a tiny CLIP on disk, for ``architecture``."""
    return clips.write_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture(scope="session")
def example():
    """A random CLIP in memory with an image and queries."""
    return clips.example()


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Makes a folder that all workers read: ``once(name, make)`` is the folder, which one of them fills by ``make``."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name, make):
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failure has left
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def demo_scenes(once):
    """Folder with the first three test scenes of the demo, which tests only read."""
    return once("demo-scenes", lambda folder: write_scenes(folder, "test", 3))


@pytest.fixture(scope="session")
def demo_ablation(once, demo_scenes, tmp_path_factory):
    """The folder that ``sclip ablate`` leaves on two scenes: one run for all workers, of which each has a copy."""

    def ablate(folder):
        small = [f"--data.root={demo_scenes}", "--data.num_samples=2", f"--output_dir={folder}", "--data.num_workers=0"]
        small += ["--ranked_panels.worst=1", "--ranked_panels.median=0"]
        alone = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.enable_progress_bar=false"]
        with dots_for_pictures():
            main(["ablate", "--config", "demo.yaml", *small, *alone])  # a command of the guide, see test_docs.py

    copy = tmp_path_factory.mktemp("demo-runs") / "lightning_logs"
    shutil.copytree(once("demo-runs", ablate), copy)
    return copy / "Demo/demo-ablation"
