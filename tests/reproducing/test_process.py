"""A command in a process of its own, which is waited for whatever happens."""

import os
import signal
import sys
import threading
import time

import pytest

from sclip_lightning.errors import StoppedError
from sclip_lightning.reproducing import process


@pytest.fixture
def python(monkeypatch):
    """Runs code in the place of the package."""
    started = process.Popen
    monkeypatch.setattr(process, "Popen", lambda command: started([sys.executable, "-c", command[-1]]))


def test_its_exit_code_comes_back(python):
    assert process.run_sclip(["raise SystemExit(3)"]) == 3
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError):
        process.run_sclip(["raise SystemExit(130)"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_request_to_stop_is_handed_on_and_waited_for(python, tmp_path):
    done = tmp_path / "done"
    code = (
        "import pathlib, signal, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(done)!r}).touch(), exit(0)))\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )

    def ask():
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    with pytest.raises(StoppedError, match="goes on from there"):
        process.run_sclip([code])
    assert done.exists()
