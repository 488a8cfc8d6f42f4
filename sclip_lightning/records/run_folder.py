"""Where a run leaves its files, ``<output_dir>/<benchmark>/<name>``, and who may write there."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from sclip_lightning.errors import ConfigError, RunError
from sclip_lightning.files import remove_partial
from sclip_lightning.records.artefacts import (
    ALL,
    CONFIG,
    EVENTS,
    HPARAMS,
    LOCK,
    RECORDS,
    RESULTS,
    RUN,
)

__all__ = [
    "check_place",
    "check_writable",
    "clear_run",
    "locked",
    "new_run_folder",
    "open_run_folder",
    "remove_leftovers",
    "run_folder",
    "tidy",
]

#: What may lie in the folder of a run that ended before it could say what it is.
_BEFORE_RUN = (CONFIG, EVENTS, HPARAMS, RECORDS)


def run_folder(output_dir: str, benchmark: str, name: str) -> Path:
    """The folder of a run; ``~`` is filled in.

    Raises:
        ConfigError: It would not lie in the folder of all runs.
    """
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        msg = (
            f"--name is {name!r}, which names no folder below that of all runs, {output_dir}. Give a name without '..' "
            "and without a '/' at its beginning, and another --output_dir for a run elsewhere."
        )
        raise ConfigError(msg)
    return Path(output_dir).expanduser() / benchmark / name


def check_place(output_dir: str, benchmark: str, name: str) -> None:
    """Make sure, before anything is computed, that ``new_run_folder`` can make a folder; arguments as there.

    Raises:
        ConfigError: Nothing can be written there.
    """
    check_writable(run_folder(output_dir, benchmark, name).parent)


def new_run_folder(output_dir: str, benchmark: str, name: str) -> Path:
    """Make a folder of its own for a run.

    Args:
        output_dir: Folder of all runs; ``~`` is filled in.
        benchmark: Name of the benchmark.
        name: Name of the run.

    Returns:
        The folder ``name``, or the first of ``name-2``, ``name-3``, ... that was not there: no run overwrites another,
        nor shares a folder with one that starts at the same moment.

    Raises:
        OSError: It cannot be made.
    """
    folder = run_folder(output_dir, benchmark, name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        try:
            folder.mkdir()  # fails where there is one, whoever made it
        except FileExistsError:
            number += 1
            folder = folder.with_name(f"{Path(name).name}-{number}")  # names may be paths
        else:
            return folder


def open_run_folder(output_dir: str, benchmark: str, name: str, resume: bool = False, overwrite: bool = False) -> Path:
    """Make the folder of a run, or take the one that is there, to go on with what it holds.

    Nothing is deleted yet: that waits until the folder is locked, for ``tidy``.

    Args:
        output_dir: Folder of all runs; ``~`` is filled in.
        benchmark: Name of the benchmark.
        name: Name of the run.
        resume: Insist that the folder holds a run to go on with.
        overwrite: The run that the folder holds will be deleted.

    Raises:
        ConfigError: Nothing can be written there, there is no run to resume, or the folder holds files of another kind
            under the names that a run uses.
    """
    folder = run_folder(output_dir, benchmark, name)
    if resume and overwrite:
        raise ConfigError("--resume goes on with a run and --overwrite deletes it: give one of the two.")
    started = (folder / RUN).is_file()
    if resume and not started:
        others = sorted(path.parent.name for path in folder.parent.glob(f"*/{RUN}"))
        msg = (
            f"--resume: {folder.absolute()} holds no run to go on with. Runs there: {', '.join(others) or 'none'}. "
            "Check --name, --output_dir and --data, or leave --resume out to start one."
        )
        raise ConfigError(msg)
    if not started and not overwrite and (folder / RESULTS).exists():
        msg = (
            f"{folder.absolute()} holds results but no {RUN}, so they cannot be continued. Choose another --name, "
            "or delete them with --overwrite."
        )
        raise ConfigError(msg)
    if not started and not (folder / RESULTS).exists():
        foreign = sorted(path.name for name in ALL if name not in _BEFORE_RUN for path in folder.glob(name))
        if foreign:
            msg = (
                f"{folder.absolute()} holds {', '.join(foreign)}, but no run ({RUN}) that could have written that: it "
                "would be overwritten. Choose another --name, or move it elsewhere."
            )
            raise ConfigError(msg)
    check_writable(folder)
    return folder


def tidy(folder: Path, overwrite: bool = False) -> None:
    """Make a folder ready for a session, by the one process that has locked it.

    Args:
        folder: The run's.
        overwrite: Delete the run that it holds.
    """
    if overwrite:
        clear_run(folder)
    remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left, by the one process that has locked the folder."""
    remove_partial(folder)
    for mark in (folder / RECORDS).glob(".*-rank*"):
        mark.unlink(missing_ok=True)  # of the processes of earlier sessions


def clear_run(folder: Path, patterns: Sequence[str] = ALL, marks: Sequence[str] = (RUN, RESULTS)) -> None:
    """Delete what a run wrote into its folder, its description last and its lock never; other files stay.

    A folder that never held a run is left alone, whatever the names of the files in it.

    Args:
        folder: The run's.
        patterns: Of all that it writes, its description first.
        marks: Files of which one lies in every folder that holds such a run.
    """
    if not any((folder / name).is_file() for name in marks):
        return
    for pattern in reversed(patterns):
        for path in folder.glob(pattern):
            if path.name == RECORDS and path.is_dir():
                for inside in path.iterdir():
                    if inside.name != LOCK:
                        _delete(inside)
            else:
                _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def locked(folder: Path, work: str = "evaluating", option: str = "--name") -> Iterator[None]:
    """Keep other processes from working in a folder at the same time; a killed process leaves no lock behind.

    Args:
        folder: The run's.
        work: What processes do there, for the message.
        option: Which option chooses another folder, likewise.

    Raises:
        RunError: Another process holds it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl  # exists on Unix only

    path = folder / RECORDS / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            # A record lock: unlike flock's it is not inherited by worker processes, which outlive a killed parent.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            holder = file.read().strip() or "its number is unknown"
            msg = (
                f"Another process ({holder}) is {work} in {folder.absolute()} right now. Wait for it or end it, or "
                f"choose another {option}."
            )
            raise RunError(msg) from error
        except OSError:
            pass  # a file system without locks
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}\n")
        file.flush()
        yield


def check_writable(folder: Path) -> None:
    """Make a folder and write into it; raises ConfigError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        msg = (
            f"Results cannot be written to {folder.absolute()} ({error.strerror}). Choose a folder you may write to "
            "with --output_dir."
        )
        raise ConfigError(msg) from error
