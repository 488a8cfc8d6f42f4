"""Processes that are gone are noticed, whoever started them, and named."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sclip_lightning.engine import heartbeat
from sclip_lightning.engine.heartbeat import Heartbeat
from sclip_lightning.errors import RunError
from sclip_lightning.records import load_records
from tests.fake_data import write_voc
from tests.forked import start_sclip

pytestmark = pytest.mark.usefixtures("plain_board")

ROOT = Path(__file__).parents[2]
IMAGES = 12
#: Longest that a command may take; generous, since machines that run tests may be busy.
PATIENCE = 300


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT", 0.02)
    monkeypatch.setattr(heartbeat, "SILENCE", 1.0)


@pytest.fixture
def beats(tmp_path, fast):
    """Makes the signs of life of one of three processes."""
    made = []

    def make(rank, **options):
        made.append(Heartbeat(tmp_path, "token", rank, 3, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_silence_is_bounded_and_the_silent_are_named(beats, tmp_path):
    started = time.monotonic()  # before the first is made, from when on it waits
    first, second = beats(0), beats(1)
    second.start()
    until(lambda: first.look(time.monotonic()))  # process 2 never gave a sign
    assert time.monotonic() - started >= 1.0
    first.start()
    until(lambda: first.missing)
    with pytest.raises(RunError, match=r"^Process 2 has given no sign of life for 1 s \(of 3 processes"):
        first.check()


def test_a_process_that_ends_says_so(beats):
    first, second, third = (beats(rank) for rank in range(3))
    for one in (first, second, third):
        one.start()
    until(lambda: all(sign for sign in first._signs.values()))
    second.stop()
    until(lambda: first.missing)
    assert first.missing.startswith("Process 1 has ended (of 3")


def test_nobody_is_missing_while_all_give_signs_even_after_the_clock_was_set_back(beats, monkeypatch):
    first, second, third = (beats(rank) for rank in range(3))
    for one in (first, second, third):
        one.start()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    time.sleep(1.2)
    assert not (first.missing or second.missing or third.missing)


def test_a_process_that_cannot_notice_is_ended(tmp_path):
    """One that sits in a collective, say; with a message."""
    code = (
        "import time; from pathlib import Path; from sclip_lightning.engine import heartbeat\n"
        "heartbeat.BEAT, heartbeat.SILENCE, heartbeat.GRACE = 0.02, 0.2, 0.2\n"
        f"heartbeat.Heartbeat(Path({str(tmp_path)!r}), 'token', 0, 2).start(); time.sleep(60)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "error: Process 1 has given no sign of life" in ended.stderr


def test_what_is_known_otherwise_is_said_at_once(beats):
    one = beats(0, failure=lambda: "Another process ended with -9")
    one.start()
    until(lambda: one.missing)
    assert one.missing == "Another process ended with -9"


def options(tmp_path, tiny_clip):
    write_voc(tmp_path / "data", IMAGES)
    return [
        *("--config=baseline.yaml", "--data=VOC21", f"--data.root={tmp_path / 'data'}", "--name=a"),
        *("--data.short_side=64", "--data.num_workers=0", f"--model.architecture={tiny_clip}"),
        *("--model.templates=none", "--model.crop=48", "--model.stride=32", "--trainer.accelerator=cpu"),
        *("--trainer.enable_progress_bar=false", "--panels.count=0", "--trainer.devices=2"),
        *("--ranked_panels.worst=0", "--ranked_panels.median=0"),
    ]


def wait_for_records(folder, number, *processes):
    deadline = time.monotonic() + PATIENCE
    while len(load_records(folder).images) < number:
        for process in processes:
            assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["among images", "at the end"])
def test_a_process_that_a_scheduler_started_is_killed(tmp_path, tiny_clip, late):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    cluster = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "NODE_RANK": "0"}
    arguments = ["test", *options(tmp_path, tiny_clip)]
    first, second = (
        start_sclip(*arguments, cwd=tmp_path, LOCAL_RANK=str(rank), SLOW_SILENCE="3", **cluster) for rank in range(2)
    )
    folder = tmp_path / "lightning_logs/VOC21/a"
    wait_for_records(folder, 3, first, second)
    if late:  # while the first waits for it
        os.kill(second.pid, signal.SIGSTOP)
        wait_for_records(folder, IMAGES // 2 + 1, first)
    os.kill(second.pid, signal.SIGKILL)
    _, error = first.communicate(timeout=PATIENCE)
    second.communicate()
    assert first.returncode == 1
    assert "Process 1 has given no sign of life for 3 s (of 2 processes" in error
    assert "the same command goes on from there" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_process_is_killed_in_the_second_row_of_an_ablation(tmp_path, tiny_clip):
    rows = ["--model.decoder=LastBlock", "--model.refiners+=PAMR"]
    process = start_sclip("ablate", *options(tmp_path, tiny_clip), *rows, cwd=tmp_path)
    parent = tmp_path / "lightning_logs/VOC21/a-ablation"
    deadline = time.monotonic() + PATIENCE
    while len(list(parent.glob("*/results.json"))) < 1 or len(list(parent.glob("*/run.json"))) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    output = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    (child,) = [int(pid) for pid, parent_id in re.findall(r"(\d+)\s+(\d+)", output) if int(parent_id) == process.pid]
    os.kill(child, signal.SIGKILL)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, error
    assert "Another process of this run ended with -9" in error
    assert "Traceback" not in error
