"""Attention of CLIP's last block, in the variants that training-free segmentation uses.

All of them are sums of softmax maps applied to the values, so each is one or two calls of
``scaled_dot_product_attention`` and no map of N x N tokens has to exist.

============  ======================================================  =============================================
variant       attention, per head, with s = head_dim ** -0.5          source
============  ======================================================  =============================================
``vanilla``   softmax(s q k^T) v                                      Radford et al., ICML 2021 (CLIP)
``maskclip``  v                                                       Zhou et al., ECCV 2022
``sclip``     (softmax(s q q^T) + softmax(s k k^T)) v, a sum          Wang et al., ECCV 2024, "CSA"
``clearclip`` softmax(s q q^T) v                                      Lan et al., ECCV 2024
``naclip``    softmax(s k k^T + Omega) v, Omega a Gaussian window     Hajimiri et al., WACV 2025
============  ======================================================  =============================================
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["RESIDUAL_BY_DEFAULT", "AttentionVariant", "attend", "gaussian_window", "merge_heads", "project_qkv"]

AttentionVariant = Literal["vanilla", "maskclip", "sclip", "clearclip", "naclip"]

#: Whether the method, as published, keeps the residual connections and the MLP of the last block.
RESIDUAL_BY_DEFAULT: dict[AttentionVariant, bool] = {
    "vanilla": True,
    "maskclip": False,
    "sclip": True,
    "clearclip": False,
    "naclip": False,
}


def project_qkv(attention: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a packed multi-head attention.

    Only ``in_proj_weight``, ``in_proj_bias`` and ``num_heads`` are read, which ``nn.MultiheadAttention`` and
    open_clip's own attention share.

    Args:
        attention: The block's attention.
        x: [B, N, D] tokens after the block's first LayerNorm.

    Returns:
        Three tensors [B, heads, N, D / heads].
    """
    batch, tokens, width = x.shape
    packed = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    heads = attention.num_heads
    q, k, v = packed.view(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    return q, k, v


def merge_heads(attention: Any, y: Tensor) -> Tensor:
    """Concatenate the heads of ``y`` [B, heads, N, d] and apply the output projection; returns [B, N, D]."""
    y = y.transpose(1, 2).flatten(2)
    return attention.out_proj(y)


def attend(
    variant: AttentionVariant, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, gain: float = 1.0
) -> Tensor:
    """Apply one variant's attention, ``softmax(gain * s * products + bias) v``.

    Args:
        variant: See the table at the top of this module.
        q: [B, heads, N, d] queries.
        k: [B, heads, N, d] keys.
        v: [B, heads, N, d] values.
        bias: Broadcastable to [B, heads, N, N], added before each softmax; ``naclip``'s Omega for one.
        gain: Factor on the scaled products.

    Returns:
        [B, heads, N, d]. For ``sclip`` the weights of a token add up to 2, otherwise to 1.
    """
    if variant == "maskclip":
        return v
    pairs = {"vanilla": [(q, k)], "sclip": [(q, q), (k, k)], "clearclip": [(q, q)], "naclip": [(k, k)]}[variant]
    mask = None if bias is None else bias.to(v.dtype)
    scale = gain * v.shape[-1] ** -0.5
    outputs = [F.scaled_dot_product_attention(a, b, v, attn_mask=mask, scale=scale) for a, b in pairs]
    return outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]


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
