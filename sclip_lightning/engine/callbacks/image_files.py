"""Callbacks that write files for single images."""

from abc import ABC, abstractmethod
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

__all__ = ["ImageFiles", "file_name"]


class ImageFiles(Callback, ABC):
    """Writes files for some or all images; an image counts as finished only once it has them.

    Attributes:
        folder: The run's folder; None without a logger, when nothing is written.
    """

    folder: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the folder."""
        del pl_module, stage
        log_dir = trainer.log_dir  # a broadcast: every rank must ask
        self.folder = Path(log_dir) if trainer.logger is not None and log_dir is not None else None

    @abstractmethod
    def wanted(self, id_: str) -> list[Path]:
        """The files that an image is to have."""

    def lacking(self, ids: set[str]) -> set[str]:
        """Those images of which a file is not there."""
        if self.folder is None:
            return set()
        existing: dict[Path, set[str]] = {}

        def exists(path: Path) -> bool:
            if path.parent not in existing:  # one listing is far cheaper than a look-up per file
                existing[path.parent] = {file.name for file in path.parent.iterdir()} if path.parent.is_dir() else set()
            return path.name in existing[path.parent]

        return {id_ for id_ in ids if not all(exists(path) for path in self.wanted(id_))}


def file_name(id_: str, suffix: str) -> str:
    """The name of an image's file."""
    return f"{id_.replace('/', '_')}{suffix}"
