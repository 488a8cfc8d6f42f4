"""Processes that Lightning starts, one a device, here and on other machines."""

import logging
from typing import Any

from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.utilities.exceptions import MisconfigurationException

from sclip_lightning.engine.ranks import TIMEOUT, Ranks
from sclip_lightning.errors import ConfigError

__all__ = ["Launched"]


class Launched:
    """Several processes, started by this one, by another, or by a scheduler (SLURM, torchrun).

    Args:
        devices: Processes on each machine.
        num_nodes: Machines.
        device: ``auto``, ``cpu``, ``cuda`` or another name of Lightning's for a kind of device.

    Raises:
        ConfigError: There are not that many devices of this kind.
    """

    def __init__(self, devices: int, num_nodes: int, device: str) -> None:
        for name in (
            "lightning.pytorch",
            "lightning.fabric",
        ):  # either says that processes have met
            logging.getLogger(name).setLevel(logging.WARNING)
        strategy = DDPStrategy(timeout=TIMEOUT)
        try:
            self._fabric = Fabric(accelerator=device, devices=devices, num_nodes=num_nodes, strategy=strategy)
        except (MisconfigurationException, ValueError, RuntimeError) as error:
            msg = (
                f"Not {devices} devices of this kind can be had (--devices {devices}, --device {device}): "
                f"{' '.join(str(error).split())}"
            )
            raise ConfigError(msg) from error
        cluster = strategy.cluster_environment
        assert cluster is not None  # Fabric has found one
        # Lightning itself knows the numbers of processes only once all of them have met.
        self.is_first = cluster.node_rank() == 0 and cluster.local_rank() == 0
        self.launcher: Any = strategy.launcher

    def start(self) -> Ranks:
        """Start the other processes of this machine, unless somebody else does, and meet all."""
        self._fabric.launch()
        return Ranks(self._fabric)
