"""Writing files so that a reader finds the old content or the new, never half of it; and where files lie."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["DEMO", "DEMO_NETWORKS", "cache_folder", "replacing", "write_text"]

#: Name that stands for the networks that come with the package, wherever weights or an architecture are named ...
DEMO = "demo"
#: ... and the folder with their files: open_clip's two for CLIP, and ``loftup.safetensors``.
DEMO_NETWORKS = Path(__file__).parent / "demo" / "networks"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside ``path``, which takes its place unless an exception is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner may read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; on return the content is stored, also should the machine lose power."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def cache_folder() -> Path:
    """Where files are kept that can be made again: ``$SCLIP_CACHE``, else ``sclip_lightning`` in the user's cache."""
    if "SCLIP_CACHE" in os.environ:
        return Path(os.environ["SCLIP_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sclip_lightning"
