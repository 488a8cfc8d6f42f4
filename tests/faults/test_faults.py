"""A few of the attempts, always the same; ``python -m tests.faults`` makes as many as there is time for."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_no_promise_is_broken():
    """An attempt of each kind, in a process of its own: one that has run anything must not fork."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--attempts=5", "--seed=1"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 ended as promised, 0 did not" in ended.stdout
