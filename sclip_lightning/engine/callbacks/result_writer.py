"""Keeping the results as files."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from sclip_lightning.reports.results import Results

__all__ = ["ResultWriter"]


class ResultWriter(Callback):
    """Writes ``results.json`` and ``per_class.csv`` into the run's folder."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write on the first rank."""
        folder = trainer.log_dir  # a broadcast: every rank must ask
        if trainer.is_global_zero and trainer.logger is not None and folder is not None:
            results: Results = pl_module.results  # type: ignore[assignment]
            Path(folder).mkdir(parents=True, exist_ok=True)
            results.save(Path(folder))
