"""What segmenting one image gives: labels, and class maps where somebody asks for them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

__all__ = ["Segmentation"]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What segmenting one image gives.

    Attributes:
        labels: [H, W] int64 class labels.
    """

    labels: Tensor
    _make_probabilities: Callable[[], Tensor]

    @cached_property
    def probabilities(self) -> Tensor:
        """[C, H, W] float32 class probabilities, after refiners, before area filter, threshold and steps on labels.

        Made when first asked for, since all of them take C times as much memory as the labels and more.
        """
        return self._make_probabilities()
