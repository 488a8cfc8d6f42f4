"""The processes that read samples."""

import signal
import sys

__all__ = ["ignore_interrupt"]


def ignore_interrupt(worker: int = 0) -> None:
    """Leave Ctrl-C to the process that started this one, whose handlers it inherited; for processes that read images.

    SIGUSR1 is how the processes of a run tell each other to stop, which is no business of a process that reads, either.
    """
    del worker
    for number in (signal.SIGINT, *([] if sys.platform == "win32" else [signal.SIGUSR1])):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
