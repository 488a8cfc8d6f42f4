"""The end of a command of one or several processes: whatever ends one early ends all, and is said once."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from sclip_lightning.engine.interruption import TERMINATED, StopRequest
from sclip_lightning.errors import RunError, SclipError, StoppedError

__all__ = ["orderly_end"]


@contextmanager
def orderly_end(
    stop: StopRequest, explain: Callable[[BaseException], str | None], progress: Callable[[], str]
) -> Iterator[None]:
    """Say what happened to a run that does not end well, and end its other processes, too.

    Args:
        stop: The run's.
        explain: What an error means and what to do about it; None where nobody knows.
        progress: What there is to go on with, in words; asked once no other process works any more.
    """
    try:
        yield
    except BaseException as error:
        if stop.told_by(error):
            stop.ask()
        if stop.parent is not None and (isinstance(error, StoppedError) or stop.told_by(error) or stop.orphaned):
            # The first process says why. Its children must end with 0 then: seeing another code, Lightning kills
            # the first process in the middle of its image.
            sys.exit(1 if stop.orphaned else 0)
        if stop.told_by(error):
            stop.end_children()
            raise StoppedError(f"{TERMINATED} {progress()}") from error
        if isinstance(error, StoppedError):
            stop.wait_for_children()
            raise StoppedError(f"{stop.reason} {progress()}") from error
        try:
            if not isinstance(error, SclipError):
                stop.await_failure(_connection_lost(error))
        finally:
            stop.end_children()
        message = explain(error)
        if message is None:
            raise
        raise RunError(f"{message} {progress()}") from error


def _connection_lost(error: BaseException) -> bool:
    """Whether torch says that another process cannot be reached; gloo says so by an error without a type of its own."""
    distributed = torch.distributed
    lost = distributed.is_available() and isinstance(
        error, (distributed.DistBackendError, distributed.DistNetworkError)
    )
    return lost or (isinstance(error, RuntimeError) and ("gloo" in str(error) or "Connection" in str(error)))
