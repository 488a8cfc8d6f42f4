"""Keeping the resolved configuration with the results."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from sclip_lightning.files import replacing

__all__ = ["ConfigWriter"]


class ConfigWriter(SaveConfigCallback):
    """Writes ``config.yaml`` into the run's folder before the first image, so that it is there after a crash.

    The file of an earlier session is replaced only once the run is known to be the same. Lightning's own callback
    writes into the working directory when there is no logger, over whatever ``config.yaml`` lies there; this one then
    writes nothing.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file on the first rank, for a run that has none."""
        del pl_module, stage
        self._write(trainer, replace=False)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file on the first rank, for a run that goes on."""
        del pl_module
        self._write(trainer, replace=True)

    def _write(self, trainer: Trainer, replace: bool) -> None:
        folder = trainer.log_dir  # a broadcast: every rank must ask
        if trainer.logger is None or folder is None or not trainer.is_global_zero:
            return
        path = Path(folder) / "config.yaml"
        if replace or not path.exists():
            config = self.config.clone()
            config.resume = config.overwrite = False  # how this session began is no part of the run
            with replacing(path) as temporary:
                self.parser.save(config, temporary, skip_none=False, overwrite=True)
