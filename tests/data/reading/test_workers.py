import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sclip_lightning.data.reading.workers import STOP_SIGNALS

ROOT = Path(__file__).parents[3]
CODE = """
import os, signal
from sclip_lightning.data.reading.workers import ignore_interrupt
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))  # as inherited from the first process
ignore_interrupt(0)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_worker_outlives_ctrl_c_and_ends_when_told_to():
    command = [sys.executable, "-c", CODE]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        assert worker.stdout.readline() == "ready\n"
        assert signal.SIGUSR1 in STOP_SIGNALS
        for number in (signal.SIGINT, *STOP_SIGNALS):
            worker.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(0.5)
        worker.terminate()
        assert worker.wait(10) == 0
        assert worker.stdout.read() == ""
    finally:
        worker.kill()
