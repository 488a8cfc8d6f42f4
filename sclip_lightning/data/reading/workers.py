"""Processes that read images beside the one that evaluates."""

import os
import signal
import sys

__all__ = ["STOP_SIGNALS", "ignore_interrupt"]

#: Signals by which the processes of one run tell each other to stop; none where the system has no such signal.
STOP_SIGNALS = frozenset() if sys.platform == "win32" else frozenset({signal.SIGUSR1})


def ignore_interrupt(worker: int = 0) -> None:
    """Leave Ctrl-C to the process that started this one, whose handlers it inherited; for those that read images.

    SIGTERM, which may come to the whole group, ends this one with 0: seeing that a reader was killed, torch raises an
    error in the other process, in the middle of whatever that does.
    """
    del worker
    for number in (signal.SIGINT, *STOP_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
