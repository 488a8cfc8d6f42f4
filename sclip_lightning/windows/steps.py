"""What a boundary refiner is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from sclip_lightning.errors import ConfigError

__all__ = ["Refiner", "check_order"]


class Refiner(ABC):
    """Brings the maps of one image into line with its edges.

    Attributes:
        works_on: Whether the maps are a segmentor's ``logits``, before the head, or class ``probabilities``, after it.
    """

    works_on: ClassVar[Literal["logits", "probabilities"]]

    @abstractmethod
    def __call__(self, maps: Tensor, image: Tensor) -> Tensor:
        """Refine maps.

        Args:
            maps: [C, H, W] float32.
            image: For a refiner of logits the network's input, [3, h, w] float32, as SCLIP guides PAMR; for one of
                probabilities the image itself, [3, H, W] uint8 RGB.

        Returns:
            [C, H, W] float32; ``maps`` is left alone.
        """


def check_order(refiners: Sequence[Refiner]) -> None:
    """Raise ConfigError where a refiner of logits follows one of probabilities, which are made from the logits."""
    order = [refiner.works_on for refiner in refiners]
    if order != sorted(order):
        names = ", ".join(f"{type(refiner).__name__} ({refiner.works_on})" for refiner in refiners)
        msg = f"--model.refiners are {names}: those of logits must come before those of probabilities. Reorder them."
        raise ConfigError(msg)
