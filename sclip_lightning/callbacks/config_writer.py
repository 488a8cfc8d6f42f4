"""Keeping the resolved configuration with the results."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

__all__ = ["ConfigWriter"]


class ConfigWriter(SaveConfigCallback):
    """Writes ``config.yaml`` into the run's folder before the run, so that it is there after a crash.

    Lightning's own callback writes into the working directory when there is no logger, over whatever ``config.yaml``
    lies there; this one then writes nothing.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file on the first rank."""
        del pl_module, stage
        folder = trainer.log_dir  # a broadcast: every rank must ask
        if trainer.logger is None or folder is None or not trainer.is_global_zero:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, Path(folder) / "config.yaml", skip_none=False, overwrite=True)
