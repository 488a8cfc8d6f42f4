"""A class token per segment: CLIP's own, which sees one segment of its window instead of all of it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.towers import ClipTower, Trunk

__all__ = ["segment_tokens"]


def segment_tokens(tower: ClipTower, trunk: Trunk, segments: Tensor) -> Tensor:
    """What CLIP's class token becomes if from the first block to the last it sees one segment alone.

    Each starts as the class token does and in every block attends to the window's class token and the patches of its
    segment, neither to itself nor to the others; nothing attends to them, so that all other tokens are as ever.

    Args:
        tower: CLIP's; it may run under autocast.
        trunk: The windows, with every block that the tower has from 0 up to the last but one kept.
        segments: [B, n] int64, each patch's segment in its window, from 0 up; -1 where there is none.

    Returns:
        [B, M, D] after the last block, M being the highest number plus 1; a segment that a window does not have sees
        the class token alone.
    """
    belongs = segments[:, None] == torch.arange(int(segments.max()) + 1, device=segments.device)[:, None]
    seen = F.pad(belongs, (trunk.prefix, 0), value=True)[:, None]
    tokens = trunk.blocks[0][:, :1].expand(-1, belongs.shape[1], -1)
    for block in range(1, tower.depth + 1):
        x = trunk.x if block == tower.depth else trunk.blocks[block - 1]
        q, k, v = tower.project(torch.cat([x, tokens], dim=1), block)
        own = x.shape[1]
        y = F.scaled_dot_product_attention(q[:, :, own:], k[:, :, :own], v[:, :, :own], attn_mask=seen)
        tokens = tower.finish(tokens, y, block)
    return tokens
