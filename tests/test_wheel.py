"""What is built for others to install: the wheel, by itself and without a network, and the source distribution."""

import importlib
import json
import os
import runpy
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from sclip_lightning import __version__
from tests.forked import Forked

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with both."""
    if find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the package, is not installed: pip install -e '.[test]'.")
    folder = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


def files_below(folder):
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    of_distribution = {name for name in names if ".dist-info/" in name}
    configs = {f"sclip_lightning/{path}" for path in files_below("configs")}
    assert names - of_distribution == files_below("sclip_lightning") | configs
    networks = ("demo/networks/loftup.safetensors", "demo/networks/features/model.safetensors")
    for needed in ("py.typed", "methods/sclip.yaml", *networks, "configs/data/voc21.yaml"):
        assert f"sclip_lightning/{needed}" in names
    licences = {name.partition("/licenses/")[2] for name in of_distribution if "/licenses/" in name}
    assert licences == {"LICENSE", "docs/third_party.md"}


def test_the_source_distribution_has_tests_but_no_recordings(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files_below("sclip_lightning") | files_below("configs") <= names
    assert {"tests/test_wheel.py", "tests/goldens/README.md", "docs/third_party.md", "LICENSE"} <= names
    assert [name for name in names if name.endswith(".npz")] == []
    assert path.stat().st_size < 6_000_000


def run_from(place, arguments):
    """Run ``python -m sclip_lightning`` of the package in a folder, in this process, which has none of it after that.

    A fork of the tests has imported torch and all else that takes seconds.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] in ("sclip_lightning", "tests")]:
        del sys.modules[name]
    sys.path[:] = [str(place), *(path for path in sys.path if Path(path).resolve() != ROOT)]
    importlib.invalidate_caches()
    sys.argv = ["sclip", *arguments]
    runpy.run_module("sclip_lightning", run_name="__main__", alter_sys=True)
    loaded = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "sclip_lightning"}
    assert len(loaded) > 100
    assert [name for name, module in loaded.items() if not Path(module.__file__).is_relative_to(place)] == []
    assert "tests" not in sys.modules


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_the_demo_runs_from_the_wheel(wheel, demo_scenes, tmp_path, capfd):
    place, here = tmp_path / "installed", tmp_path / "here"
    here.mkdir()
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(place), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=300)
    start = "from sclip_lightning import cli; print(cli.__file__); cli.main(['--version'])"
    environment = os.environ | {"PYTHONPATH": str(place)}
    fresh = subprocess.run([sys.executable, "-c", start], cwd=here, env=environment, capture_output=True, check=True)
    assert fresh.stdout.decode().split("\n")[:2] == [
        str(place / "sclip_lightning/cli.py"),
        f"sclip_lightning {__version__}",
    ]
    small = [f"--data.root={demo_scenes}", "--data.num_samples=1", "--data.num_workers=0", "--trainer.accelerator=cpu"]
    command = ["test", "--config", "demo.yaml", *small, "--trainer.devices=1"]
    done = Forked(lambda: run_from(place, command), dict(os.environ), cwd=here, session=True, stderr=True)
    code = done.wait(300)
    assert code == 0, done.stderr.read()
    assert "mIoU" in capfd.readouterr().out
    (results,) = here.glob("lightning_logs/Demo/*/results.json")
    assert json.loads(results.read_text())["protocol"]["images"] == "1 of 3"
