"""What a test says on the terminal: what it is about to do, how long that may take, and what it found."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine.context import RunContext, run_context

__all__ = ["Announcer", "in_words"]

#: Batches after which the rest can be foretold; the first is left out, since it warms everything up.
FORETELL_AFTER = 4
#: Batches below which nobody needs to be told.
FEW_BATCHES = 12


class Announcer(Callback):
    """Says on the first process what begins and, once results are written, what they are, before pictures are drawn.

    It stands behind ``ResultWriter`` and before whatever draws in the list of callbacks.
    """

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name benchmark, device, parts and place, above the progress bar."""
        context = run_context(pl_module)
        self._started: float | None = None
        if context.is_first:
            print("\n".join(_opening(trainer, context)), flush=True)  # noqa: T201  what a user waits for

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what may be wrong, now that names are embedded, and before hours are spent."""
        context = run_context(pl_module)
        if context.is_first:
            for warning in context.warnings:
                print(f"Note: {warning}", flush=True)  # noqa: T201  what a user must know now

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: list[Sample],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Foretell the time that all images take, once a few are done."""
        if batch_idx == 0:
            self._started = time.monotonic()
        batches = sum(int(number) for number in trainer.num_test_batches)
        if self._started is None or batch_idx != FORETELL_AFTER - 1 or batches < FEW_BATCHES:
            return
        seconds = (time.monotonic() - self._started) / batch_idx * (batches - batch_idx - 1)
        if run_context(pl_module).is_first:
            line = f"About {in_words(seconds)} to go for {batches - batch_idx - 1} of {batches} batches"
            bar = trainer.progress_bar_callback
            (bar.print if isinstance(bar, TQDMProgressBar) else print)(line)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table, which unlike Lightning's own names the protocol."""
        context = run_context(pl_module)
        if not context.is_first or context.results is None:
            return
        if isinstance(trainer.progress_bar_callback, TQDMProgressBar):
            trainer.progress_bar_callback.test_progress_bar.close()  # else it would end in the middle of the table
        written = f"\n\nWritten to {context.folder}" if context.folder else ""
        print(f"\n{context.results.table()}{written}", flush=True)  # noqa: T201  the table is what the test is for
        if context.folder and not context.reported_before:
            print("Drawing pictures and filling TensorBoard's pages ...", flush=True)  # noqa: T201


def in_words(seconds: float) -> str:
    """A span of time to one unit, as one would say it."""
    for name, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {name}s"
    return f"{max(seconds, 1):.0f} second{'s' * (seconds >= 1.5)}"


def _opening(trainer: Trainer, context: RunContext) -> list[str]:
    """At most six lines: what is about to happen."""
    images, left = len(context.ids), _left(trainer, len(context.ids))
    done = f", {images - left} of them done before" if left < images else ""
    place = str(context.folder) if context.folder else "nowhere: there is no logger"
    return [
        f"{context.benchmark.name}: {images} image{'s' * (images > 1)}{done}, {len(context.benchmark.classes)} classes",
        f"Device: {context.ranks}, precision {trainer.precision}",
        f"Parts: {context.parts}",
        f"Results go to {place}",
    ]


def _left(trainer: Trainer, images: int) -> int:
    remaining = getattr(getattr(trainer, "datamodule", None), "remaining", None)
    return images if remaining is None else len(remaining)
