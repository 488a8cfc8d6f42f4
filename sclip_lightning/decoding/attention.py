"""Attention of CLIP's last block, in the variants that training-free segmentation uses.

All of them are sums of softmax maps applied to the values, so each is one or a few calls of
``scaled_dot_product_attention`` and no map of N x N tokens has to exist.

============  ======================================================  =============================================
variant       attention, per head, with s = head_dim ** -0.5          source
============  ======================================================  =============================================
``vanilla``   softmax(s q k^T) v                                      Radford et al., ICML 2021, arXiv 2103.00020
``maskclip``  v                                                       Zhou et al., ECCV 2022, arXiv 2112.01071
``sclip``     (softmax(s q q^T) + softmax(s k k^T)) v, a sum, "CSA"   Wang et al., ECCV 2024, arXiv 2312.01597
``clearclip`` softmax(s q q^T) v                                      Lan et al., ECCV 2024, arXiv 2407.12442
``naclip``    softmax(s k k^T + Omega) v, Omega a Gaussian window     Hajimiri et al., WACV 2025, arXiv 2404.08181
``segearth``  the sum of softmax(s x x^T) v for x = q, k and v        Li et al., CVPR 2025, arXiv 2410.01768
============  ======================================================  =============================================
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.windows import Part

__all__ = ["Attention", "AttentionName", "NeighbourAttention", "attention_of", "gaussian_window"]

AttentionName = Literal["vanilla", "maskclip", "sclip", "clearclip", "naclip", "segearth"]


class Attention(Part, ABC):
    """Attention of a block, put in the place of its own.

    Attributes:
        keeps_residual: Whether the method, as published, keeps the block's residual connections and MLP.
    """

    keeps_residual: bool = False

    @property
    def has_logits(self) -> bool:
        """Whether it compares tokens at all: only then can anything be added to its logits."""
        return True

    @abstractmethod
    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int], bias: Tensor | None = None, gain: float = 1.0
    ) -> Tensor:
        """Apply the attention, ``softmax(gain * s * products + bias) v``.

        Args:
            q: [B, heads, N, d] queries, the class token's first, then the patches' row by row.
            k: [B, heads, N, d] keys.
            v: [B, heads, N, d] values.
            grid: (rows, columns) of patches.
            bias: Broadcastable to [B, heads, N, N], added before each softmax.
            gain: Factor on the scaled products.

        Returns:
            [B, heads, N, d].
        """


@dataclass(frozen=True)
class ProductAttention(Attention):
    """A sum of softmax maps, one for each pair of projections that is compared; the values alone without any.

    Attributes:
        pairs: Which of q, k and v are compared: ``("qq", "kk")``. The weights of a token add up to their number.
        keeps_residual: As for :class:`Attention`.
    """

    pairs: tuple[str, ...]
    keeps_residual: bool = False

    @property
    def has_logits(self) -> bool:
        """Whether there is a pair."""
        return bool(self.pairs)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int], bias: Tensor | None = None, gain: float = 1.0
    ) -> Tensor:
        """Apply the attention."""
        del grid
        if not self.pairs:
            return v
        tensors = {"q": q, "k": k, "v": v}
        mask = None if bias is None else bias.to(v.dtype)
        scale = gain * v.shape[-1] ** -0.5
        total = None
        for pair in self.pairs:
            map_ = F.scaled_dot_product_attention(tensors[pair[0]], tensors[pair[1]], v, attn_mask=mask, scale=scale)
            total = map_ if total is None else total + map_
        assert total is not None
        return total


@dataclass(frozen=True)
class NeighbourAttention(Attention):
    """Keys compared with keys, near patches first (Hajimiri et al., NACLIP, WACV 2025, arXiv 2404.08181).

    Args:
        std: Standard deviation of the Gaussian window in patches, above 0 (paper: 5).

    Raises:
        ConfigError: ``std`` is not above 0.
    """

    std: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.std < float("inf"):
            msg = f"NeighbourAttention: std is {self.std}, but a Gaussian's width in patches must be above 0."
            raise ConfigError(msg)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int], bias: Tensor | None = None, gain: float = 1.0
    ) -> Tensor:
        """Apply the attention."""
        window = gaussian_window(*grid, self.std, k.device)
        return _KEYS(q, k, v, grid, window if bias is None else bias + window, gain)


_KEYS = ProductAttention(("kk",))

_ATTENTIONS: dict[AttentionName, Attention] = {
    "vanilla": ProductAttention(("qk",), keeps_residual=True),
    "maskclip": ProductAttention(()),
    "sclip": ProductAttention(("qq", "kk"), keeps_residual=True),
    "clearclip": ProductAttention(("qq",)),
    "naclip": NeighbourAttention(),
    "segearth": ProductAttention(("qq", "kk", "vv")),
}


def attention_of(attention: AttentionName | Attention) -> Attention:
    """The attention that a name stands for; an attention itself is returned as it is.

    Raises:
        ConfigError: There is no attention of that name.
    """
    if isinstance(attention, Attention):
        return attention
    if attention not in _ATTENTIONS:
        msg = (
            f"There is no attention {attention!r} (--model.decoder.attention). Choose one of "
            f"{', '.join(get_args(AttentionName))}."
        )
        raise ConfigError(msg)
    return _ATTENTIONS[attention]


def gaussian_window(rows: int, columns: int, std: float, device: torch.device | str = "cpu") -> Tensor:
    """NACLIP's Omega: a Gaussian bump around each patch, peak 1, zero for the class token.

    Args:
        rows: Patches in a column of the grid.
        columns: Patches in a row of the grid.
        std: Standard deviation in patches.
        device: Where the window is made.

    Returns:
        [1 + rows * columns, 1 + rows * columns] float32, values in [0, 1]; row and column 0 are the class token's.
    """
    y = torch.arange(rows, dtype=torch.float32, device=device)
    x = torch.arange(columns, dtype=torch.float32, device=device)
    y_distance = (y[:, None] - y[None, :]).square()
    x_distance = (x[:, None] - x[None, :]).square()
    distance = y_distance[:, None, :, None] + x_distance[None, :, None, :]
    patches = rows * columns
    window = torch.zeros(1 + patches, 1 + patches, device=device)
    window[1:, 1:] = torch.exp(-distance.reshape(patches, patches) / (2 * std**2))
    return window
