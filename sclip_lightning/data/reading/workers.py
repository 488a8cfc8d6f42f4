"""Processes that read images beside the one that evaluates."""

import signal
import sys

__all__ = ["STOP_SIGNALS", "ignore_interrupt"]

#: Signals by which the processes of one run tell each other to stop; none where the system has no such signal.
STOP_SIGNALS = frozenset() if sys.platform == "win32" else frozenset({signal.SIGUSR1})


def ignore_interrupt(worker: int = 0) -> None:
    """Leave Ctrl-C to the process that started this one, whose handlers it inherited; for those that read images."""
    del worker
    for number in (signal.SIGINT, *STOP_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
