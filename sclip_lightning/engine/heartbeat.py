"""Whether the other processes of a run are still there, whoever started them.

Only the processes that Lightning starts have a parent that sees them end. Those that a scheduler starts know nothing of
each other: once one is gone, the others would wait for it for ever. So each gives a sign of life in the run's folder,
which they share, and looks for those of the others.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from sclip_lightning.errors import RunError
from sclip_lightning.records.artefacts import RECORDS

__all__ = ["Heartbeat"]

#: Seconds between two signs of life.
BEAT = 5.0
#: Seconds without one after which a process is given up. Network file systems may show a file a minute late.
SILENCE = 120.0
#: Seconds that this process then has to notice by itself, between two images or while it waits for the others. Inside
#: an image or a collective it cannot, and is ended from here.
GRACE = 60.0


class Heartbeat:
    """Signs of life of this process, and those of the others.

    A sign is the time of a file, set to a number that counts up: it needs no room on the disk and no clock. A file that
    was there and is no more says that its process has ended.

    Args:
        folder: The run's folder, the same for all processes.
        token: What sets these processes apart from those of earlier sessions; the same for all.
        rank: Number of this process.
        number: How many processes there are.
        failure: Asked for what else has gone wrong with the others; None where nothing has.

    Attributes:
        missing: The processes that are gone, in words; empty as long as none is.
    """

    def __init__(
        self, folder: Path, token: str, rank: int, number: int, failure: Callable[[], str | None] = lambda: None
    ) -> None:
        self.missing = ""
        self._files = {other: folder / RECORDS / f".{token}-rank{other}" for other in range(number)}
        self._own = self._files.pop(rank)
        self._failure = failure
        self._beats = 0
        self._ended = Event()
        self._signs: dict[int, float | None] = dict.fromkeys(self._files)
        self._heard = dict.fromkeys(self._files, time.monotonic())
        self._thread = Thread(target=self._run, daemon=True, name="heartbeat")

    def start(self) -> None:
        """Begin to give signs and to look for them; with no other process there is nothing to do."""
        if self._files:
            self._own.parent.mkdir(parents=True, exist_ok=True)
            self._own.touch()
            self._thread.start()

    def stop(self) -> None:
        """End, and say so: the others need not wait for signs any more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._own.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise ``RunError`` if another process is gone."""
        if self.missing:
            raise RunError(self.missing)

    def wait_for_failure(self) -> None:
        """Wait until another process is found to be gone, as long as that may take; returns also if none is."""
        deadline = time.monotonic() + SILENCE + 2 * BEAT
        while self._thread.is_alive() and not self.missing and time.monotonic() < deadline:
            time.sleep(0.05)

    def look(self, now: float) -> str:
        """Look once for the signs of the others; returns who is gone, in words.

        Args:
            now: In seconds, of a clock that is never set back.
        """
        silent, ended = [], []
        for other, path in self._files.items():
            sign = _sign(path)
            if sign is None and self._signs[other] is not None:
                ended.append(other)
            elif sign != self._signs[other]:
                self._signs[other], self._heard[other] = sign, now
            elif now - self._heard[other] > SILENCE:
                silent.append(other)
        gone = [f"Process {other} has ended" for other in ended]
        gone += [f"Process {other} has given no sign of life for {SILENCE:.0f} s" for other in silent]
        if not gone:
            return ""
        return (
            f"{'. '.join(gone)} (of {len(self._files) + 1} processes, numbered from 0). It was killed, its machine is "
            "down, or it does not see the run's folder; its own message, if it had time for one, is in its output. "
            "All images finished before are recorded: the same command goes on from there."
        )

    def _run(self) -> None:
        last = found = time.monotonic()
        while not self._ended.wait(BEAT):
            now = time.monotonic()
            if now - last > SILENCE / 2:  # this process was asleep, and so may the others have been
                self._heard = dict.fromkeys(self._heard, now)
            last = now
            self._beats += 1
            with suppress(OSError):  # the others will say so, if it stays like that
                os.utime(self._own, (self._beats, self._beats))
            if not self.missing:
                self.missing, found = self._failure() or self.look(now), now
            elif now - found > GRACE:
                sys.stderr.write(f"\nerror: {self.missing}\n")
                sys.stderr.flush()
                os._exit(RunError.exit_code)


def _sign(path: Path) -> float | None:
    """The time of a file, None without one; opened, since network file systems then ask the server again."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
