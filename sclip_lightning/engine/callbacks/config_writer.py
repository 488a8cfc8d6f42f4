"""Keeping the resolved configuration with the results."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from sclip_lightning.engine.context import RunContext, run_context
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.files import replacing
from sclip_lightning.records.artefacts import CONFIG

__all__ = ["ConfigWriter"]


class ConfigWriter(SaveConfigCallback):
    """Writes ``config.yaml`` into the run's folder before the first image, so that it is there after a crash.

    The file of an earlier session is replaced only once the run is known to be the same, and by a session that has
    something to do: what was computed is described by the options that it was computed with. Lightning's own callback
    writes into the working directory when there is no logger, over whatever ``config.yaml`` lies there; this one then
    writes nothing.
    """

    #: Whether the file is this session's.
    written = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file on the first rank, for a run that has none."""
        del stage
        self._write(run_context(pl_module), str(trainer.precision), replace=False)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file on the first rank, for a run that goes on."""
        datamodule = getattr(trainer, "datamodule", None)
        if isinstance(datamodule, SegmentationDataModule) and datamodule.remaining:
            self._write(run_context(pl_module), str(trainer.precision), replace=True)

    def _write(self, context: RunContext, precision: str, replace: bool) -> None:
        if context.folder is None or not context.is_first or self.written:
            return
        path = context.folder / CONFIG
        if replace or not path.exists():
            self.written = True
            with replacing(path) as temporary:
                temporary.write_text(self._content(precision), encoding="utf-8")

    def _content(self, precision: str) -> str:
        config = self.config.clone()
        if config.trainer.precision == "auto":
            config.trainer.precision = precision  # what it was, wherever the file is read
        config.resume = config.overwrite = False  # how this session began is no part of the run
        content: str = self.parser.dump(config, skip_none=False, skip_check=True)
        return content
