"""What a vision tower must offer to be used by decoders: a transformer that can be stopped before its last block."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["Tower", "Trunk"]


@dataclass(frozen=True, eq=False)
class Trunk:
    """What a tower's last block starts from.

    Attributes:
        x: [B, p + n, D] tokens: p prefix tokens, then n patches row by row.
        grid: (rows, columns) of patches, n their product.
        prefix: p, tokens before the patches; the class token is the first of them.
        blocks: What left the blocks asked for, [B, p + n, D] by the block's number; 0 is what entered block 1.
        projections: Queries and keys of the blocks asked for, [B, heads, p + n, d] each, by the block's number. They
            could be computed again from ``blocks``, at 5 % of the tower's time for four of twelve blocks.
    """

    x: Tensor
    grid: tuple[int, int]
    prefix: int = 1
    blocks: Mapping[int, Tensor] = field(default_factory=dict)
    projections: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Tower(nn.Module, ABC):
    """A plain vision transformer. It holds the weights and nothing else, and may run under autocast.

    Attributes:
        recallable: Methods whose results may be kept: functions of tensors and plain values alone.
    """

    recallable: ClassVar[tuple[str, ...]] = ("trunk",)

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of blocks; they are counted from 1."""

    @property
    @abstractmethod
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches in an image of ``height`` x ``width`` pixels; a remainder is dropped."""
        return height // self.patch_size[0], width // self.patch_size[1]

    @abstractmethod
    def trunk(self, windows: Tensor, keep: Collection[int] = (), keep_projections: Collection[int] = ()) -> Trunk:
        """Run every block but the last.

        Args:
            windows: [B, 3, H, W] float32 in CLIP's normalisation, H and W at least one patch.
            keep: Numbers of blocks, 0 to ``depth`` - 1, whose output is wanted, too.
            keep_projections: Numbers of blocks, 1 to ``depth`` - 1, whose queries and keys are wanted, too.
        """

    @abstractmethod
    def project(self, x: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values that a block makes of its input [B, N, D]; each [B, heads, N, d]."""

    @abstractmethod
    def finish(self, x: Tensor, y: Tensor, block: int, residual: bool = True) -> Tensor:
        """Complete a block whose attention was computed elsewhere.

        Args:
            x: [B, N, D], the block's input.
            y: [B, heads, N, d], its attention applied to the values.
            block: Its number.
            residual: Keep the block's residual connections and its MLP; without them the output projection of ``y``
                alone is left.

        Returns:
            [B, N, D].
        """
