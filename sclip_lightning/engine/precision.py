"""Precision that fits the machine: one choice for all processes of a run, and for all its sessions."""

from pathlib import Path
from typing import Any, Literal

from lightning.fabric.connector import _PRECISION_INPUT  # type: ignore[attr-defined]
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import MixedPrecision, Precision

from sclip_lightning.engine.ranks import Ranks
from sclip_lightning.model.devices import resolve_precision
from sclip_lightning.records.run import Run

__all__ = ["EvaluationTrainer", "settle_precision"]


class EvaluationTrainer(Trainer):
    """Lightning's trainer, which also takes ``precision="auto"``.

    Which precision that is, is found out once the processes have met; until then it is float32's.

    Args:
        args: Lightning's.
        precision: Lightning's names, or ``auto``: bf16-mixed where the hardware computes in bfloat16, else 32-true; a
            run goes on in the precision that it was begun in.
        kwargs: Lightning's.
    """

    def __init__(self, *args: Any, precision: _PRECISION_INPUT | Literal["auto"] | None = None, **kwargs: Any) -> None:
        self.fits_precision = precision == "auto"
        super().__init__(*args, precision=None if precision == "auto" else precision, **kwargs)


def settle_precision(trainer: Trainer, ranks: Ranks, folder: Path | None) -> None:
    """Give a trainer that is to find its precision the one of its run, or the first rank's. A collective.

    Args:
        trainer: Set up, before a network is.
        ranks: Its processes.
        folder: The run's, if it has one.

    Raises:
        ConfigError: The run was begun in a precision that a device here cannot compute in.
        RunError: The folder holds something else than a run.
    """
    if not isinstance(trainer, EvaluationTrainer) or not trainer.fits_precision:
        return

    def first() -> str:
        run = Run.load(folder) if folder else None
        recorded = run.protocol.get("precision") if run else None
        found, why = resolve_precision("auto", ranks.device, recorded)
        print(why, flush=True)  # noqa: T201  it decides about last digits and hours
        return found

    precision = ranks.on_first(first)
    resolve_precision(precision, ranks.device)
    kind = ranks.device.type
    plugin = Precision() if precision == "32-true" else MixedPrecision(precision, kind)  # type: ignore[arg-type]
    trainer.strategy.precision_plugin = plugin
    trainer.fits_precision = False
