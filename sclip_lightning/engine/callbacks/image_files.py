"""Callbacks that write files for single images."""

import math
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from sclip_lightning.engine.context import run_context

__all__ = ["ImageFiles", "is_whole"]


#: The signature of a PNG, and its last chunk (PNG specification, sections 5.2 and 11.2.5).
_PNG_BEGIN, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"


class ImageFiles(Callback, ABC):
    """Writes files for some or all images; an image counts as finished only once it has them.

    Attributes:
        folder: The run's folder; None without a logger, when nothing is written.
    """

    folder: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the run's folder, and have a say in which images are finished."""
        del trainer, stage
        context = run_context(pl_module)
        self.folder = context.folder
        context.lacking.append(self.lacking)

    @abstractmethod
    def wanted(self, id_: str) -> list[Path]:
        """The files that an image is to have."""

    def lacking(self, ids: set[str]) -> set[str]:
        """Those images of which a file is not there, or not whole."""
        if self.folder is None:
            return set()
        existing: dict[Path, set[str]] = {}

        def exists(path: Path) -> bool:
            if path.parent not in existing:  # one listing is far cheaper than a look-up per file
                existing[path.parent] = {file.name for file in path.parent.iterdir()} if path.parent.is_dir() else set()
            return path.name in existing[path.parent] and is_whole(path)

        return {id_ for id_ in ids if not all(exists(path) for path in self.wanted(id_))}


def is_whole(path: Path) -> bool:
    """Whether a PNG or npy file begins and ends as one; what a loss of power leaves is often empty or cut off.

    Pixels are not decoded: that would take as long as segmenting small images again.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if path.suffix == ".png":
            begin = file.read(len(_PNG_BEGIN))
            file.seek(max(size - len(_PNG_END), 0))
            return begin == _PNG_BEGIN and file.read() == _PNG_END
        try:
            major, _ = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, _, dtype = read_header(file)
        except ValueError:
            return False
        return size == file.tell() + math.prod(shape) * dtype.itemsize
