"""Where a run leaves its files: ``<output_dir>/<benchmark>/<name>``."""

import tempfile
from pathlib import Path

from sclip_lightning.errors import ConfigError

__all__ = ["new_run_folder"]


def new_run_folder(output_dir: str, benchmark: str, name: str) -> Path:
    """Choose a folder for a run and make sure, before anything is computed, that it can be written.

    Args:
        output_dir: Folder of all runs; ``~`` is filled in.
        benchmark: Name of the benchmark.
        name: Name of the run.

    Returns:
        The folder ``name``, or the first of ``name-2``, ``name-3``, ... that is not there yet, so that no run
        overwrites another. Its parent exists, it itself is not made.

    Raises:
        ConfigError: Nothing can be written there.
    """
    parent = Path(output_dir).expanduser() / benchmark
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        msg = (
            f"Results cannot be written to {parent.absolute()} ({error.strerror}). Choose a folder you may write to "
            "with --output_dir."
        )
        raise ConfigError(msg) from error
    folder, number = parent / name, 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder
