"""Where files are kept that can be made again: text banks and drawn scenes."""

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """``$SCLIP_CACHE``, else ``sclip_lightning`` in the user's cache folder."""
    if "SCLIP_CACHE" in os.environ:
        return Path(os.environ["SCLIP_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sclip_lightning"
