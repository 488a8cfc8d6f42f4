"""Residual cross-correlation self-attention (RCS): attention of intermediate blocks mixed into the last one.

Yang et al., "ResCLIP: Residual Attention for Training-free Dense Vision-language Inference", CVPR 2025, arXiv
2411.15851.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import above, at_least, between
from sclip_lightning.windows import Part

__all__ = ["ResidualAttention"]


@dataclass(frozen=True)
class ResidualAttention(Part):
    """Mixes the mean attention of some blocks into the last one's, ``tau * ((1 - lam) * A + lam * mean(A_l))``.

    The maps are mixed after their softmax, head by head, and not normalised again. Applied to the values that is
    linear: one ``scaled_dot_product_attention`` per source block with that block's queries and keys and the last
    block's values, and no map has to be kept.

    Args:
        tau: Factor on the mixed attention; null takes what is published for the benchmark.
        lam: Share of the source blocks, in [0, 1]; null likewise.
        first_layer: First source block, counted from 1 (paper and released code: 6, for any depth).
        last_layer: Last source block (9).
    """

    option = "--model.decoder.rcs"

    tau: Annotated[float, above(0)] | None = None
    lam: Annotated[float, between(0, 1)] | None = None
    first_layer: Annotated[int, at_least(1, whole=True)] = 6
    last_layer: Annotated[int, at_least(1, whole=True)] = 9

    @property
    def layers(self) -> range:
        """The source blocks, counted from 1."""
        return range(self.first_layer, self.last_layer + 1)

    def fitted(self, depth: int, patch_size: tuple[int, int]) -> "ResidualAttention":
        """Itself; raises ConfigError unless the source blocks lie before the last of ``depth`` blocks."""
        del patch_size
        if not 1 <= self.first_layer <= self.last_layer < depth:
            msg = (
                f"Residual attention takes layers {self.first_layer} to {self.last_layer}, but this tower has {depth} "
                "and the last cannot be a source. Set --model.decoder.rcs.first_layer and last_layer to a range within "
                f"1 to {depth - 1} (published: 6 to 9 of 12)."
            )
            raise ConfigError(msg)
        return self

    def cross(self, sources: Sequence[tuple[Tensor, Tensor]], v: Tensor) -> Tensor:
        """The source blocks' mean attention applied to the values.

        Args:
            sources: Queries and keys [B, heads, N, d] of every source block.
            v: [B, heads, N, d] values of the last block.
        """
        total = F.scaled_dot_product_attention(*sources[0], v)
        for q, k in sources[1:]:
            total = total + F.scaled_dot_product_attention(q, k, v)
        return total / len(sources)

    def mix(self, own: Tensor, cross: Tensor) -> Tensor:
        """Mix the last block's own attention output with that of the source blocks."""
        assert self.tau is not None and self.lam is not None
        return self.tau * ((1 - self.lam) * own + self.lam * cross)
