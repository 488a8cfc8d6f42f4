"""Ending a run from outside without losing what it has in hand: Ctrl-C, and processes that belong together.

The first Ctrl-C (or SIGTERM) lets every process finish its image; a second Ctrl-C ends all at once. A terminal signals
all processes of a run, ``kill`` one of them, so whoever is asked tells the others (SIGUSR1), and who has been told may
still get the signal itself. ``timeout`` and ``scancel`` send SIGTERM to the group, ``timeout`` to its first process
twice: it means the same however often it comes. A process whose parent is gone ends after its image, and the first
process when another has failed. Processes that no other has started watch each other's signs of life.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from types import FrameType
from typing import Any

from sclip_lightning.data.reading.workers import STOP_SIGNALS
from sclip_lightning.engine.heartbeat import Heartbeat
from sclip_lightning.errors import RunError, StoppedError

__all__ = ["PARENT_VARIABLE", "TERMINATED", "StopRequest"]

#: What is said of a run that SIGTERM ended.
TERMINATED = "The run was told to stop (SIGTERM)."
#: Environment variable with the id of the process that started the other processes of a run.
PARENT_VARIABLE = "SCLIP_PARENT"
#: Seconds that the first process waits for the others to finish their images. A single one may take minutes: DenseCRF
#: with 171 classes on a CPU that other jobs share.
FAREWELL = 600.0
#: Seconds in which a failed process prints its message and ends, once its connections are closed.
LAST_WORDS = 3.0


class StopRequest:
    """Whether a run has been asked to stop. Until ``listen`` is called, nothing ever asks.

    Attributes:
        parent: Id of the process that started this one as a part of its run; None in the first one.
    """

    def __init__(self) -> None:
        self.parent: int | None = None
        self._heartbeat: Heartbeat | None = None
        self._launcher: Any = None
        self._started: list[Popen[bytes]] = []
        self._listening = False
        self._asked = False
        self._interrupts = 0
        self._terminated = False
        self._among_images = False

    @contextmanager
    def listen(
        self, first: bool = True, launcher: Any = None, started: list[Popen[bytes]] | None = None
    ) -> Iterator[None]:
        """Handle Ctrl-C within; in the main thread of the process.

        Args:
            first: Whether this is the run's first process, which may start the others.
            launcher: Lightning's, whose ``procs`` are the processes that this one starts, if it does.
            started: Processes that an earlier trainer started, and that take part in this run; those of this one are
                added.
        """
        self._launcher, self._started = launcher, [] if started is None else started
        if first:
            os.environ[PARENT_VARIABLE] = str(os.getpid())
        elif PARENT_VARIABLE in os.environ:  # else a scheduler started all processes, and ends them together
            self.parent = int(os.environ[PARENT_VARIABLE])
        numbers = {signal.SIGINT, signal.SIGTERM, *STOP_SIGNALS}
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        self._listening = True
        try:
            yield
        finally:
            self.leave()
            self._listening = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def told_by(self, error: BaseException) -> bool:
        """Whether an error is how a request to stop looks that reached the whole group of processes.

        ``timeout`` and ``scancel`` send one: the processes that read images end at once, and then this one misses them.
        """
        lost_reader = isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")
        return lost_reader and (self._asked or "signal: Terminated" in str(error))

    @property
    def reason(self) -> str:
        """Why the run stops, in a sentence."""
        return TERMINATED if self._terminated else "Stopped at your request."

    def ask(self) -> None:
        """Ask this process and all others to stop after the images in hand."""
        if not self._asked:
            self._asked = True
            self._tell_others()

    def watch(self, heartbeat: Heartbeat) -> None:
        """From now on notice when another process of the run is gone, whoever started it."""
        self._heartbeat = heartbeat
        if self._listening:
            # Lightning watches those it has started, too, and ends this process without a word where one fails. It
            # watches this very list; what is not in it any more is watched here.
            self._started += self._launched()
            self._launched().clear()
        heartbeat.start()

    def leave(self) -> None:
        """Say to the other processes that this one takes part no longer."""
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def begin_images(self) -> None:
        """From now on a request waits for ``check``; before, it ends the run at once."""
        self._among_images = True
        if self._listening:
            # Only now, over Lightning's own handler, which notes the signal and evaluates on.
            signal.signal(signal.SIGTERM, self._on_signal)

    def end_images(self) -> None:
        """From now on a request ends the run at once again."""
        self._among_images = False

    def check(self) -> None:
        """Call between two images, and while waiting for other processes.

        Raises:
            StoppedError: The run is to stop, or its first process has ended.
            RunError: Another process of the run has failed.
        """
        if self._asked:
            raise StoppedError("Stopped on request.")
        if self.orphaned:
            raise StoppedError("The first process of the run has ended.")
        self.check_children()
        if self._heartbeat is not None and self._heartbeat.missing:
            self.await_failure(connection_lost=True)  # one that this process started may still be about to say why

    def check_children(self) -> None:
        """Raise ``RunError`` if a process that this one started has failed."""
        failure = self.failure()
        if failure:
            raise RunError(failure)

    def failure(self) -> str | None:
        """What became of a process that this one started and that has failed, in words; None while none has."""
        failed = [child.returncode for child in self._children() if child.poll()]
        if not failed:
            return None
        return (
            f"Another process of this run ended with {failed[0]}; its own message, if it had time for one, stands "
            "above. All images finished before are recorded: the same command goes on from there."
        )

    @property
    def orphaned(self) -> bool:
        """Whether the run's first process, which started this one, has ended."""
        return self.parent is not None and os.getppid() != self.parent

    def await_failure(self, connection_lost: bool) -> None:
        """Give a process whose end broke a connection time to be seen to have ended.

        Args:
            connection_lost: Whether this process knows that another is gone, and only not which.

        Raises:
            RunError: It is; what failed here is then a consequence.
        """
        deadline = time.monotonic() + LAST_WORDS
        while self._children() and time.monotonic() < deadline and not any(c.poll() for c in self._children()):
            time.sleep(0.05)
        self.check_children()
        if connection_lost and self._heartbeat is not None:
            self._heartbeat.wait_for_failure()
            self._heartbeat.check()

    def wait_for_children(self) -> None:
        """Let the other processes finish their images; afterwards none of them is left."""
        deadline = time.monotonic() + FAREWELL
        while time.monotonic() < deadline and any(child.poll() is None for child in self._children()):
            time.sleep(0.05)
        self.end_children()

    def end_children(self) -> None:
        """End the other processes at once; what they recorded stays."""
        for child in self._children():
            if child.poll() is None:
                child.kill()
                child.wait()

    def _launched(self) -> list[Popen[bytes]]:
        return getattr(self._launcher, "procs", [])

    def _children(self) -> list[Popen[bytes]]:
        return [*self._started, *self._launched()]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number in STOP_SIGNALS:
            self.ask()
            return
        repeated = self._terminated
        self._terminated |= number == signal.SIGTERM
        self._interrupts += number == signal.SIGINT
        if not self._among_images:
            if repeated:
                return  # the run is ending because of the first one
            self.end_children()
            raise StoppedError("Stopped on request.")
        if self._interrupts > 1:
            self.end_children()
            os._exit(StoppedError.exit_code)  # not even the images in hand are waited for
        self.ask()
        if number == signal.SIGINT and self.parent is None:
            sys.stderr.write("Ctrl-C again stops at once.\n")

    def _tell_others(self) -> None:
        if self.parent is None:
            sys.stderr.write("\nStopping after the images in hand.\n")
        elif not self.orphaned:
            os.kill(self.parent, signal.SIGUSR1)
        for child in self._children():
            if child.poll() is None:
                child.send_signal(signal.SIGUSR1)
