"""One ``sclip`` command in a process of its own."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from subprocess import Popen

from sclip_lightning.errors import StoppedError

__all__ = ["run_sclip"]


def run_sclip(command: Sequence[str]) -> int:
    """Run ``sclip`` with a command, and wait until it has ended; in the main thread.

    A process of its own can use any number of devices, gives all memory back, and takes no other run along if it dies.
    Ctrl-C and SIGTERM ask it to stop, which it does after its image, with everything finished recorded.

    Args:
        command: The subcommand and its arguments.

    Returns:
        Its exit code; negative where a signal ended it.

    Raises:
        StoppedError: It was asked to stop.
    """
    with Popen([sys.executable, "-m", "sclip_lightning", *command]) as process, _handing_on(process) as asked:
        code = process.wait()
    if asked or code == StoppedError.exit_code:
        raise StoppedError("Stopped. The same command goes on from there.")
    return code


@contextmanager
def _handing_on(process: "Popen[bytes]") -> Iterator[list[int]]:
    """Inside, requests to stop go to a process; the list has those that came."""
    came: list[int] = []

    def hand_on(number: int, _: object) -> None:
        came.append(number)
        # Ctrl-C in a terminal reaches the process by itself, too: to be asked once more by SIGTERM changes nothing.
        if process.poll() is None:
            process.terminate()

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
