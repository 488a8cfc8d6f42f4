"""Writing files so that a reader finds the old content or the new, never half of it; and where files lie."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "DEMO",
    "DEMO_FEATURES",
    "DEMO_NETWORKS",
    "PARTIAL",
    "cache_folder",
    "remove_partial",
    "replacing",
    "replacing_folder",
    "store",
    "store_folder",
    "write_text",
]

#: Name that stands for the networks that come with the package, wherever weights or an architecture are named ...
DEMO = "demo"
#: ... and the folder with their files: open_clip's two for CLIP, and ``loftup.safetensors``.
DEMO_NETWORKS = Path(__file__).parent / "demo" / "networks"
#: The folder of the second network, with timm's two files.
DEMO_FEATURES = DEMO_NETWORKS / "features"


#: How the names of files begin that are being written; one that stays was left behind by a process that was killed.
PARTIAL = ".partial-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside ``path``, which takes its place unless an exception is raised.

    Afterwards the new content is stored, also should the machine lose power, and before that the old.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{path.stem[:40]}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner may read
        store(temporary)  # else a name may be stored before the content: a file of 0 bytes that looks finished
        temporary.replace(path)
        store_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, which takes its place unless an exception is raised.

    What was there before is then deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{PARTIAL}{path.name[:40]}-"))
    old = temporary.with_name(f"{temporary.name}-old")
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        store_folder(temporary)
        if path.exists():
            path.replace(old)
        temporary.replace(path)
        store_folder(path.parent)
    finally:
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as it is, by ``replacing``."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def store(path: Path) -> None:
    """Return only once a file's content survives a loss of power.

    Raises:
        OSError: It cannot be stored; some file systems find out only now that they have no room.
    """
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def store_folder(path: Path) -> None:
    """The same for the names in a folder, where the system can."""
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system stores folders on request
            os.fsync(handle)
    finally:
        os.close(handle)


def remove_partial(folder: Path) -> None:
    """Delete what killed processes left half written in a folder and below; while nobody else writes there."""
    for path in [*folder.rglob(f"{PARTIAL}*")]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where files are kept that can be made again: ``$SCLIP_CACHE``, else ``sclip_lightning`` in the user's cache."""
    if "SCLIP_CACHE" in os.environ:
        return Path(os.environ["SCLIP_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sclip_lightning"
