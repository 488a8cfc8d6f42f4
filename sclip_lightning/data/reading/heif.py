"""HEIC, the format of many phones, which Pillow reads only with pillow-heif (the extra ``heic``)."""

from functools import lru_cache
from pathlib import Path

__all__ = ["HEIF_SUFFIXES", "INSTALL_HEIF", "is_heif", "reads_heif"]

#: How the files end, in any case.
HEIF_SUFFIXES = (".heic", ".heif")

#: What can be done about such files where they cannot be read.
INSTALL_HEIF = "Install pillow-heif, with which they are read (pip install pillow-heif), or convert them to JPEG."


@lru_cache(maxsize=1)
def reads_heif() -> bool:
    """Whether HEIC can be read; where it can, Pillow does so from now on."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def is_heif(path: Path) -> bool:
    """Whether a file is HEIC by its name."""
    return path.suffix.lower() in HEIF_SUFFIXES
