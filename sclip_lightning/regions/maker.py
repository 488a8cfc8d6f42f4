"""What all makers of segment maps have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import check_numbers

__all__ = ["LoadedMaker", "RegionMaker", "imported"]


@dataclass(frozen=True)
class LoadedMaker:
    """A maker with all that it needs.

    Attributes:
        segment: Makes a segment map of an image: [H, W, 3] uint8 RGB to [H, W] int32, 0 where there is no segment.
        generator: The method, by the name of its class.
        settings: The numbers that maps depend on.
        model: Which network it is, None without one.
        weights_sha256: Of the network's weights, the first 12 digits; likewise.
        libraries: Versions of those that compute the maps.
    """

    segment: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.int32]]
    generator: str
    settings: Mapping[str, Any]
    model: str | None = None
    weights_sha256: str | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)


class RegionMaker(ABC):
    """Numbers that segment maps are made with; subclasses are frozen dataclasses with a range in each number's type.

    Raises:
        ConfigError: A number is outside its range.
    """

    #: Whether it computes on the device that is asked for; else on the CPU.
    on_device: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_numbers(self, "--maker")

    @abstractmethod
    def load(self, device: torch.device) -> LoadedMaker:
        """Get ready to make maps.

        Raises:
            ConfigError: A package is not installed.
            CheckpointError: There is no such network.
        """


def imported(module: str, package: str, maker: str) -> ModuleType:
    """Import a package of the extra ``regions``.

    Args:
        module: What to import.
        package: Its name for pip.
        maker: Who needs it.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        msg = f'--maker {maker} needs {package} ({error}). Install it: pip install -e ".[regions]"'
        raise ConfigError(msg) from error
