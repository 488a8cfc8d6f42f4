"""Which processes share the images: this one alone, or those that Lightning starts, which alone needs Lightning."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from sclip_lightning.engine.heartbeat import Heartbeat
from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import at_least, check_number

__all__ = ["Alone", "Launch", "Team", "launch_of"]

T = TypeVar("T")


class Team(Protocol):
    """The processes that share the images, once all of them are there; see ``engine.ranks.Ranks``."""

    number: int
    rank: int
    is_first: bool
    device: torch.device

    def on_first(self, function: Callable[[], T]) -> T:
        """What a function returns on the first process, on every one of them."""

    def heartbeat(self, folder: Path, failure: Callable[[], str | None]) -> Heartbeat:
        """The signs of life that they give each other."""


class Launch(Protocol):
    """How the processes come to be there.

    Attributes:
        is_first: Whether this is the first of them.
        launcher: Lightning's, with the processes that it started as ``procs``; None without.
    """

    is_first: bool
    launcher: Any

    def start(self) -> Team:
        """Start those that are to be started, and meet all."""


class Alone:
    """A team of one process, which is there already.

    Args:
        device: Where it computes.
    """

    number = 1
    rank = 0
    is_first = True
    launcher = None

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> Team:
        """Itself."""
        return self

    def on_first(self, function: Callable[[], T]) -> T:
        """What the function returns."""
        return function()

    def heartbeat(self, folder: Path, failure: Callable[[], str | None]) -> Heartbeat:
        """One that has nobody to look for."""
        return Heartbeat(folder, "alone", 0, 1, failure)

    def __str__(self) -> str:
        return f"1 x {self.device.type}"


def launch_of(devices: int, num_nodes: int, device: str, find: Callable[[str], torch.device]) -> Launch:
    """The processes asked for, not started yet.

    Args:
        devices: Processes on each machine, one a device.
        num_nodes: Machines.
        device: ``auto``, or a torch device; for several, one without a number.
        find: Turns it into a device that is there.

    Raises:
        ConfigError: Numbers below 1, a device that is not there, or several processes on one.
    """
    check_number(devices, at_least(1, whole=True), "--devices")
    check_number(num_nodes, at_least(1, whole=True), "--num_nodes")
    if devices * num_nodes == 1:
        return Alone(find(device))
    if ":" in device:
        msg = (
            f"--device {device} is one device, and --devices {devices} asks for {devices * num_nodes} of them. Give "
            f"--device {device.partition(':')[0]}, or leave --devices and --num_nodes out."
        )
        raise ConfigError(msg)
    if sys.platform == "win32":
        raise ConfigError("Several processes need a Unix system: leave --devices and --num_nodes out.")
    from sclip_lightning.jobs.launched import Launched

    return Launched(devices, num_nodes, device)
