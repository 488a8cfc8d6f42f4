"""Callbacks that write files for single images."""

from abc import ABC, abstractmethod
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from sclip_lightning.engine.context import run_context
from sclip_lightning.records.whole import is_whole

__all__ = ["ImageFiles"]


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
