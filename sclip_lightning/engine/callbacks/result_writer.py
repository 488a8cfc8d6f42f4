"""Keeping the results as files."""

from lightning.pytorch import Callback, LightningModule, Trainer

from sclip_lightning.engine.context import run_context

__all__ = ["ResultWriter"]


class ResultWriter(Callback):
    """Writes ``results.json`` and ``per_class.csv`` into the run's folder."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write on the first rank."""
        del trainer
        context = run_context(pl_module)
        if context.is_first and context.folder is not None and context.results is not None:
            context.folder.mkdir(parents=True, exist_ok=True)
            context.results.save(context.folder)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note, after the end of all callbacks, that nothing is left to draw."""
        del trainer, stage
        context = run_context(pl_module)
        if context.is_first and context.folder is not None and context.results is not None:
            context.recording.mark_reported()
