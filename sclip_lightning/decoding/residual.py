"""Residual cross-correlation self-attention (RCS): attention of intermediate layers mixed into the last block.

Yang et al., "ResCLIP: Residual Attention for Training-free Dense Vision-language Inference", CVPR 2025.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

__all__ = ["ResidualAttention"]


@dataclass(frozen=True)
class ResidualAttention:
    """Mixes the mean attention of some layers into the last block's, ``tau * ((1 - lam) * A + lam * mean(A_l))``.

    The maps are mixed after their softmax, head by head, and not normalised anew. Applied to the values that is linear:
    one ``scaled_dot_product_attention`` per source layer with that layer's queries and keys and the last block's
    values, and no map has to be kept.

    Attributes:
        tau: Factor on the mixed attention.
        lam: Share of the source layers, in [0, 1].
        first_layer: First source layer, counted from 1 (paper and released code: 6, for any depth).
        last_layer: Last source layer (9).
    """

    tau: float
    lam: float
    first_layer: int = 6
    last_layer: int = 9

    def cross(self, sources: Sequence[tuple[Tensor, Tensor]], v: Tensor) -> Tensor:
        """The source layers' mean attention applied to the values.

        Args:
            sources: Queries and keys [B, heads, N, d] of every source layer.
            v: [B, heads, N, d] values of the last block.
        """
        total = F.scaled_dot_product_attention(*sources[0], v)
        for q, k in sources[1:]:
            total = total + F.scaled_dot_product_attention(q, k, v)
        return total / len(sources)

    def mix(self, own: Tensor, cross: Tensor) -> Tensor:
        """Mix the last block's own attention output with that of the source layers."""
        return self.tau * ((1 - self.lam) * own + self.lam * cross)
