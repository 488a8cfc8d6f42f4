"""The processes of a run: Lightning's ranks, one a device."""

import os
import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

import torch
import torch.distributed as distributed
from lightning.fabric import Fabric
from lightning.pytorch import Trainer
from torch import Tensor

from sclip_lightning.engine.environment import counting_device
from sclip_lightning.engine.heartbeat import Heartbeat

__all__ = ["TIMEOUT", "Ranks"]

#: How long processes wait for each other in collectives. Torch's 30 minutes (10 with NCCL) are too few where one
#: downloads weights over a slow line; a process that fails ends the others whatever the timeout, and waiting for the
#: slowest at the end is no collective and has no limit.
TIMEOUT = timedelta(hours=6)

T = TypeVar("T")


class Ranks:
    """What the processes of a run share; every method is a collective, which all ranks must call in the same order.

    Args:
        trainer: The trainer of the run, set up, or a Fabric that has launched its processes.

    Attributes:
        number: How many processes there are.
        rank: Number of this one.
        is_first: Whether it is the first, which alone writes what there is once.
        device: Where it computes.
    """

    def __init__(self, trainer: Trainer | Fabric) -> None:
        self._strategy = trainer.strategy
        self.number = int(trainer.world_size)
        self.rank = int(trainer.global_rank)
        self.is_first = bool(trainer.is_global_zero)
        self.device: torch.device = trainer.strategy.root_device

    def on_first(self, function: Callable[[], T]) -> T:
        """What a function returns on the first rank, on every rank; the others do not call it."""
        value = function() if self.is_first else None
        return cast(T, self._strategy.broadcast(value))

    def gather(self, value: float) -> Tensor:
        """This rank's value and those of all others: float64, [ranks], or a scalar where there is one rank only."""
        own = torch.tensor(value, dtype=torch.float64, device=counting_device(self.device))
        if self.number == 1:
            return own
        # Not the strategy's all_gather, which is made for gradients and calls what torch has deprecated.
        values = [torch.zeros_like(own) for _ in range(self.number)]
        distributed.all_gather(values, own)
        return torch.stack(values)

    def heartbeat(self, folder: Path, failure: Callable[[], str | None]) -> Heartbeat:
        """The signs of life that the processes give each other, not started yet.

        Args:
            folder: The run's.
            failure: Asked for what else has gone wrong with the others.
        """
        token = self.on_first(lambda: f"alive-{os.getpid()}-{secrets.token_hex(4)}")
        return Heartbeat(folder, token, self.rank, self.number, failure)

    def __str__(self) -> str:
        return f"{self.number} x {self.device.type}"
