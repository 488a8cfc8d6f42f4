"""Things that go wrong, each prepared in a process before its command begins."""

import errno
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from sclip_lightning.data.reading.dataset import SegmentationDataset
from sclip_lightning.engine import session_end
from sclip_lightning.engine.evaluation import Evaluation
from sclip_lightning.reports.results import Results

Fault = Callable[[], None]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killing_at(owner: Any, name: str, number: int, before: bool) -> Fault:
    """Kill the process at the n-th call of a function, before it or after it."""

    def prepare() -> None:
        function, calls = getattr(owner, name), iter(range(1, 10**9))

        def deadly(*arguments: Any, **options: Any) -> Any:
            fatal = next(calls) == number
            if fatal and before:
                kill()
            returned = function(*arguments, **options)
            if fatal:
                kill()
            return returned

        setattr(owner, name, deadly)

    return prepare


def killing_in_a_record(number: int, share: float) -> Fault:
    """Kill the process when it has handed a part of the n-th record to the operating system."""

    def prepare() -> None:
        write, calls = os.write, iter(range(1, 10**9))

        def deadly(handle: int, content: bytes) -> int:
            if content.startswith(b'{"crc32"') and next(calls) == number:
                write(handle, content[: int(share * len(content))])
                kill()
            return write(handle, content)

        os.write = deadly

    return prepare


def small_files(limit: int) -> Fault:
    """No file may grow beyond so many bytes: what is refused then is what a full disk refuses."""

    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    return prepare


def full_disk(room: int) -> Fault:
    """Records find room for so many bytes; the last write ends in the middle, as on a disk that is full."""

    def prepare() -> None:
        write, left, files = os.write, [room], set()

        def short(handle: int, content: bytes) -> int:
            if content.startswith(b'{"crc32"'):
                files.add(handle)
            if handle not in files:
                return write(handle, content)
            if not left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = write(handle, content[: left[0]])
            left[0] -= written
            return written

        os.write = short

    return prepare


def clock_set_back(seconds: float) -> Fault:
    def prepare() -> None:
        now = time.time
        time.time = lambda: now() - seconds

    return prepare


def some_kill(chance: Random) -> tuple[str, Fault]:
    """One of the moments of a run, chosen by chance; its name, and what to prepare."""
    before, number = chance.random() < 0.5, chance.randint(1, 5)
    moment = chance.choice(["reading", "scoring", "recording", "writing", "folding", "reporting"])
    faults = {
        "reading": killing_at(SegmentationDataset, "__getitem__", number, before),
        "scoring": killing_at(Evaluation, "update", number, before),
        "recording": killing_in_a_record(number, chance.random()),
        "writing": killing_at(Path, "replace", chance.randint(1, 16), before),
        "folding": killing_at(session_end, "results_of", 1, before),
        "reporting": killing_at(Results, "save", 1, before),
    }
    return f"killed while {moment}", faults[moment]


def truncate(folder: Path, chance: Random) -> str:
    """Cut off one of a run's files that claim to be finished; returns its name."""
    kinds = [files for end in ("jsonl", "json", "png") if (files := sorted(folder.rglob(f"*.{end}")))]
    path = chance.choice(chance.choice(kinds))
    content = path.read_bytes()
    boundaries = [0, *(i for i, byte in enumerate(content) if byte in b'{}[]",:\n'), max(len(content) - 1, 0)]
    path.write_bytes(content[: chance.choice(boundaries)])
    return path.name
