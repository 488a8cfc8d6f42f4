"""Waiting for the slowest process of a session, without a collective."""

import time
from collections.abc import Callable
from pathlib import Path

from sclip_lightning.records.artefacts import RECORDS

__all__ = ["Arrivals"]

#: Seconds between two looks at whether the other processes have arrived.
WAIT = 0.1


class Arrivals:
    """Which processes of a session have nothing to add any more: a file each in the run's folder.

    Args:
        folder: The run's folder, the same for all processes.
        session: Number of the session.
        rank: Number of this process.
    """

    def __init__(self, folder: Path, session: int, rank: int) -> None:
        self._folder = folder / RECORDS
        self._session = session
        self._rank = rank

    def arrive(self) -> None:
        """Say that this process has nothing to add."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._flag(self._rank).touch()

    def wait_for(self, processes: int, check: Callable[[], None]) -> None:
        """Wait until all processes have arrived, however long the slowest takes.

        A collective would not do: it times out, and a process inside one reacts neither to Ctrl-C nor to the end of
        another process.

        Args:
            processes: Their number.
            check: Called now and then; may raise to end the waiting.
        """
        while not all(self._flag(rank).exists() for rank in range(processes)):
            check()
            time.sleep(WAIT)

    def _flag(self, rank: int) -> Path:
        return self._folder / f".{self._session:04d}-rank{rank}-done"
