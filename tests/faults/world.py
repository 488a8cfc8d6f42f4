"""A small benchmark, commands on it in processes that may be killed, and what must be true afterwards."""

import contextlib
import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sclip_lightning.cli import main
from sclip_lightning.files import PARTIAL
from sclip_lightning.records import RecordWriter, load_records
from tests.fake_data import write_voc
from tests.tiny_clip import write_tiny_clip

IMAGES = 5
#: Seconds after which a command counts as hung.
PATIENCE = 120
#: The run that all commands are about: the first row of an ablation, so that ``sclip ablate`` meets it, too.
NAME = "a-ablation/baseline"


class BrokenPromiseError(Exception):
    """Something that the package promises was not true."""


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        code: Its exit code; negative for the signal that killed it.
        output: All that it printed.
        recorded: Ids of the images that it had been told are recorded.
    """

    code: int
    output: str
    recorded: frozenset[str]

    def check(self) -> None:
        """It was killed, or did what it should, or said in one sentence why not."""
        if "Traceback" in self.output:
            raise BrokenPromiseError(f"A traceback instead of a sentence:\n{self.output}")
        if self.code == 1 and "error: " not in self.output:
            raise BrokenPromiseError(f"It failed without a word:\n{self.output}")
        if self.code not in (0, 1, -signal.SIGKILL):
            raise BrokenPromiseError(f"It ended with {self.code}:\n{self.output}")


class World:
    """A benchmark of a few images with a tiny model, below a folder that is the working directory of all commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        write_voc(self.data, IMAGES)
        self.clip = write_tiny_clip(folder / "clip")
        (folder / "cache").mkdir()

    def options(self, name: str = NAME) -> list[str]:
        """Those of a run that keeps label maps."""
        return [
            *("--config=baseline.yaml", "--data=VOC21", f"--data.root={self.data}", f"--name={name}"),
            *("--data.short_side=64", "--data.num_workers=0", f"--model.architecture={self.clip}"),
            *("--model.templates=none", "--model.crop=48", "--model.stride=32", "--trainer.accelerator=cpu"),
            *("--trainer.enable_progress_bar=false", "--panels.count=1", "--predictions.labels=true"),
            *("--ranked_panels.worst=1", "--ranked_panels.median=0"),
        ]

    def run_folder(self, place: Path) -> Path:
        return place / "lightning_logs/VOC21" / NAME

    def start(self, place: Path, arguments: Sequence[str], fault: Callable[[], None] = lambda: None) -> "Child":
        """Start ``sclip`` with the arguments in a process of its own, after a fault was prepared in it."""
        return Child(place, arguments, fault, self.folder / "cache")

    def finish_here(self, place: Path) -> None:
        """The run without a fault in this process: what it imports and finds out once, later ones need not."""
        place.mkdir()
        os.chdir(place)
        os.environ["SCLIP_CACHE"] = str(self.folder / "cache")
        with contextlib.redirect_stdout(io.StringIO()):
            main(["test", *self.options()])

    def finish(self, place: Path) -> Ending:
        """The same run without a fault; it must succeed."""
        ending = self.start(place, ["test", *self.options()]).wait()
        if ending.code:
            raise BrokenPromiseError(f"The run cannot be completed:\n{ending.output}")
        return ending


class Child:
    """A command in a forked process: everything is imported already, so that it takes a second."""

    def __init__(self, place: Path, arguments: Sequence[str], fault: Callable[[], None], cache: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        number = len(list(place.glob("output-*")))
        self.output = place / f"output-{number}.txt"
        self.recorded = place / f"recorded-{number}.txt"
        sys.stdout.flush()
        self.output.touch()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(place, arguments, fault, cache)

    def _become(self, place: Path, arguments: Sequence[str], fault: Callable[[], None], cache: Path) -> None:
        code = 70
        try:
            os.chdir(place)
            os.environ["SCLIP_CACHE"] = str(cache)
            handle = os.open(self.output, os.O_WRONLY | os.O_APPEND)
            for standard in (1, 2):
                os.dup2(handle, standard)
            note_records(os.open(self.recorded, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
            fault()
            main(list(arguments))
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):  # the disk may be full
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> Ending:
        """How it ended; raises if it never does."""
        deadline = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self.kill()
                os.waitpid(self.pid, 0)
                raise BrokenPromiseError(f"It hung:\n{self.output.read_text(errors='replace')}")
            time.sleep(0.005)
        recorded = self.recorded.read_text().split() if self.recorded.exists() else []
        output = self.output.read_text(errors="replace")
        return Ending(os.waitstatus_to_exitcode(status), output, frozenset(recorded))


def note_records(handle: int) -> None:
    """In this process, write the id of every image whose record was said to be written."""
    add = RecordWriter.add

    def noted(self, record):
        add(self, record)
        os.write(handle, f"{record.id}\n".encode())

    RecordWriter.add = noted


def digits(folder: Path) -> dict:
    """What a run reports, but for speed and environment."""
    results = json.loads((folder / "results.json").read_text())
    return {name: results[name] for name in ("metrics", "classes", "protocol")}


def check_whole(folder: Path, reference: Path) -> None:
    """A completed run has the digits and the label maps of one that nothing happened to, and nothing else."""
    if digits(folder) != digits(reference):
        raise BrokenPromiseError(f"The digits in {folder} differ from those in {reference}.")
    labels = {path.name: path.read_bytes() for path in (folder / "labels").iterdir()}
    if labels != {path.name: path.read_bytes() for path in (reference / "labels").iterdir()}:
        raise BrokenPromiseError(f"The label maps in {folder} differ from those in {reference}.")
    left = sorted(folder.rglob(f"{PARTIAL}*"))
    if left:
        raise BrokenPromiseError(f"Half written files stay: {', '.join(map(str, left))}.")


def check_recorded(folder: Path, recorded: frozenset[str]) -> None:
    """No record that was said to be written is lost."""
    found = {record.id for record in load_records(folder).images}
    if lost := recorded - found:
        raise BrokenPromiseError(f"Records are lost: {', '.join(sorted(lost))}.")
