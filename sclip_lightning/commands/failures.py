"""What a user can do about ends that are none of our making: a full disk, no memory left, a process that is stopped."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from sclip_lightning.engine.interruption import TERMINATED
from sclip_lightning.errors import StoppedError
from sclip_lightning.model.memory import memory_advice, without_memory
from sclip_lightning.model.options import SegmentorOptions

__all__ = ["explain", "stoppable"]


def explain(error: BaseException, options: SegmentorOptions) -> str | None:
    """What happened and what to do about it, in a sentence or two; None where we do not know.

    Args:
        error: What ended a command, or the work on an image.
        options: Those of the segmentor.
    """
    if isinstance(error, OSError):
        return f"The run cannot go on: {error}. Make room, or make the place readable and writable."
    if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):
        return (
            f"A process that reads images was ended from outside, most likely because the machine ran out of memory "
            f"({str(error).splitlines()[0].strip()}). Lower --data.num_workers; 0 reads in the main process."
        )
    if isinstance(error, RuntimeError) and str(error).startswith("DataLoader timed out"):
        return (
            f"The processes that read images have handed over none for a long time ({error}). Give the same command "
            "again, or --data.num_workers 0, which reads in the main process, and see whether the disk answers."
        )
    where = without_memory(error)
    if where is None:
        return None
    reason = (str(error).splitlines() or [""])[0].strip() or type(error).__name__
    return f"{where[0].upper()}{where[1:]} has no memory left ({reason}). {memory_advice(options)}"


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, SIGTERM and Ctrl-C raise ``StoppedError``, so that nothing is left half written; in the main thread.

    A second SIGTERM changes nothing: ``timeout`` sends it to a process and to its group.
    """

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise StoppedError(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError("Stopped at your request.") from error
    finally:
        signal.signal(signal.SIGTERM, before)
