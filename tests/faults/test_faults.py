"""A few of the attempts, always the same; ``python -m tests.faults`` makes as many as there is time for."""

import os
import sys
from argparse import Namespace

import pytest

from tests.faults.__main__ import run
from tests.forked import Forked


@pytest.mark.slow
@pytest.mark.usefixtures("plain_board")
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_no_promise_is_broken(capfd):
    """An attempt of each kind, in a process of its own, whose working directory and signals are not this one's."""
    options = Namespace(attempts=5, first=0, seed=1, minutes=None)
    process = Forked(lambda: sys.exit(run(options)), dict(os.environ), session=True, stderr=True)
    code, printed = process.wait(600), capfd.readouterr().out
    assert code == 0, printed + process.stderr.read()
    assert "5 ended as promised, 0 did not" in printed
