"""PEARL's attention: keys are turned towards the queries before they are compared (Procrustes alignment).

Pei et al., "PEARL: Geometry Aligns Semantics for Training-Free Open-Vocabulary Semantic Segmentation", CVPR 2026, arXiv
2603.21528; what the paper leaves open follows the released code (PGSmall/PEARL at c26062b), which has a term of keys
with keys besides. Its other part, propagation over the image, is ``refine.tlp``.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.decoding.attention import Attention
from sclip_lightning.errors import ConfigError

__all__ = ["ProcrustesAttention", "alignment"]

#: Keeps sums and norms away from 0 (released code).
SMALLEST = 1e-6


@dataclass(frozen=True)
class ProcrustesAttention(Attention):
    """Queries compared with aligned keys, and centred keys with keys (Pei et al., PEARL, CVPR 2026, arXiv 2603.21528).

    Always float32, whatever the tower's precision.

    Args:
        alpha: Weight of the comparison of keys with keys, at least 0; null takes what is published for the benchmark.
        iterations: Newton-Schulz steps towards the polar factor (5). They do not converge, so their number belongs to
            the method; null takes the exact factor.

    Raises:
        ConfigError: A number is out of range.
    """

    alpha: float | None = None
    iterations: int | None = 5

    def __post_init__(self) -> None:
        fits = (self.alpha is None or 0 <= self.alpha < float("inf")) and (self.iterations or 0) >= 0
        if not fits:
            msg = (
                f"ProcrustesAttention with alpha {self.alpha} and {self.iterations} iterations: both must be at least "
                "0. Published are alpha 0.08 (0.3 for Cityscapes and ADE20K) and 5 iterations."
            )
            raise ConfigError(msg)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int], bias: Tensor | None = None, gain: float = 1.0
    ) -> Tensor:
        """Apply the attention; see :meth:`Attention.__call__`."""
        del grid
        assert self.alpha is not None
        with torch.autocast(q.device.type, enabled=False):
            queries, keys = q.float(), k.float()
            weights = queries.norm(dim=-1, keepdim=True)
            weights = torch.cat([torch.zeros_like(weights[:, :, :1]), weights[:, :, 1:]], dim=2)  # the class token's
            weights = weights / (weights.sum(dim=2, keepdim=True) + SMALLEST)
            centred = keys - (weights * keys).sum(dim=2, keepdim=True)
            turn = alignment(centred.mT @ (queries - (weights * queries).sum(dim=2, keepdim=True)), self.iterations)
            # Both terms in one product: heads of twice the width, and no map of N x N tokens.
            share = self.alpha**0.5
            mixed = F.scaled_dot_product_attention(
                torch.cat([queries, share * centred], dim=-1),
                torch.cat([keys @ turn, share * keys], dim=-1),
                v.float(),
                attn_mask=None if bias is None else bias.float(),
                scale=gain * q.shape[-1] ** -0.5,
            )
        return mixed.to(v.dtype)


def alignment(covariance: Tensor, iterations: int | None = 5) -> Tensor:
    """Roughly the rotation that brings keys nearest to queries.

    Args:
        covariance: M, [..., d, d] float32, keys times queries.
        iterations: Newton-Schulz steps for the inverse root of M^T M; null takes the exact polar factor of M.

    Returns:
        [..., d, d] float32. After a few steps small singular values are still far below 1.
    """
    if iterations is None:
        u, _, vh = torch.linalg.svd(covariance)
        return u @ vh
    square = covariance.mT @ covariance
    size = torch.linalg.matrix_norm(square, keepdim=True).clamp(min=SMALLEST)
    one = torch.eye(covariance.shape[-1], device=covariance.device)
    y, z = square / size + SMALLEST * one, one.expand_as(square)
    for _ in range(iterations):
        step = 1.5 * one - 0.5 * z @ y
        y, z = y @ step, step @ z
    return covariance @ z / size.sqrt()
