"""CLIP's vision tower as a source of dense, text-aligned patch tokens."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sclip_lightning.clip.attention import (
    RESIDUAL_BY_DEFAULT,
    AttentionVariant,
    attend,
    gaussian_window,
    merge_heads,
    project_qkv,
)
from sclip_lightning.errors import CheckpointError

__all__ = ["VisionTower", "resize_position_embedding"]


class VisionTower(nn.Module):
    """An open_clip ViT whose last block uses one of the dense attention variants.

    Blocks 1 to L-1 run as published. The last block's attention is replaced; with ``residual`` the block keeps its
    shape, ``x = x + attention(ln_1(x)); x = x + mlp(ln_2(x))``, without it only ``x = attention(ln_1(x))`` is left
    (ClearCLIP, section 3). Every token then goes through ``ln_post`` and ``proj``.

    Args:
        visual: The ``visual`` module of an open_clip ``CLIP`` model. Its parameters are shared, not copied.
        attention: Attention variant of the last block.
        residual: Keep the last block's residual connections and MLP; ``None`` takes what the variant's paper does.
        gaussian_std: Standard deviation of ``naclip``'s window, in patches (NACLIP, section 4: 5).

    Raises:
        CheckpointError: The module is no plain ViT (a timm tower, attentional pooling, blocks of another kind).
    """

    def __init__(
        self,
        visual: nn.Module,
        attention: AttentionVariant = "sclip",
        residual: bool | None = None,
        gaussian_std: float = 5.0,
    ) -> None:
        super().__init__()
        _check_plain_vit(visual)
        self.visual: Any = visual
        self.attention = attention
        self.residual = RESIDUAL_BY_DEFAULT[attention] if residual is None else residual
        self.gaussian_std = gaussian_std

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        return self.visual.conv1.stride

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches in an image of ``height`` x ``width`` pixels; a remainder is dropped."""
        return height // self.patch_size[0], width // self.patch_size[1]

    def forward(self, images: Tensor) -> Tensor:
        """Compute all tokens of a batch of images or windows.

        Args:
            images: [B, 3, H, W] normalised images, H and W at least one patch.

        Returns:
            [B, 1 + h * w, D] tokens in the space of the text embeddings, not normalised; the class token is first,
            patches follow row by row. Under autocast the dtype may be lower than float32.
        """
        return self.project(self.last_block(self.trunk(images), self.grid_size(*images.shape[-2:])))

    def trunk(self, images: Tensor) -> Tensor:
        """Patch embedding and all blocks but the last; [B, 3, H, W] -> [B, 1 + h * w, width]."""
        visual = self.visual
        patches = visual.conv1(images)
        rows, columns = patches.shape[-2:]
        position = resize_position_embedding(visual.positional_embedding, visual.grid_size, (rows, columns))
        # The residual stream stays in the parameters' precision under autocast: only the products are rounded.
        patches = patches.flatten(2).transpose(1, 2).to(position.dtype)
        class_token = visual.class_embedding.expand(len(images), 1, -1)
        x = torch.cat([class_token, patches], dim=1) + position
        x = visual.ln_pre(x)
        for block in self.blocks[:-1]:
            q, k, v = project_qkv(block.attn, block.ln_1(x))
            x = x + block.ls_1(merge_heads(block.attn, attend("vanilla", q, k, v)))
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
        return x

    def last_block(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """The last block with the chosen attention; [B, 1 + h * w, width] -> the same shape."""
        block = self.blocks[-1]
        q, k, v = project_qkv(block.attn, block.ln_1(x))
        window = gaussian_window(*grid, self.gaussian_std, x.device) if self.attention == "naclip" else None
        y = block.ls_1(merge_heads(block.attn, attend(self.attention, q, k, v, window)))
        if not self.residual:
            return y
        x = x + y
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    def project(self, x: Tensor) -> Tensor:
        """``ln_post`` and the projection into the text space; [B, N, width] -> [B, N, D]."""
        x = self.visual.ln_post(x)
        return x @ self.visual.proj

    @property
    def blocks(self) -> Any:
        """The transformer's residual blocks, first to last."""
        return self.visual.transformer.resblocks


def resize_position_embedding(embedding: Tensor, trained: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Fit a learned position embedding to another grid of patches.

    Bicubic, with ``scale_factor = (n + 0.1) / n_trained`` as in DINO (Caron et al., ICCV 2021), which SCLIP follows:
    the 0.1 enters the sampling positions, so resizing with ``size=`` gives other numbers.

    Args:
        embedding: [1 + n_h * n_w, D], the class token's first; that one is never resized.
        trained: (n_h, n_w), the grid it was trained on.
        grid: (rows, columns) wanted.

    Returns:
        [1 + rows * columns, D]; the input itself where the grid is the trained one.
    """
    if grid == tuple(trained):
        return embedding
    patches = embedding[1:].T.reshape(1, -1, *trained).float()
    scale = ((grid[0] + 0.1) / trained[0], (grid[1] + 0.1) / trained[1])
    with torch.autocast(embedding.device.type, enabled=False):
        patches = F.interpolate(patches, scale_factor=scale, mode="bicubic", align_corners=False)
    return torch.cat([embedding[:1], patches.flatten(2)[0].T.to(embedding.dtype)])


def _check_plain_vit(visual: Any) -> None:
    needed = ("conv1", "class_embedding", "positional_embedding", "ln_pre", "transformer", "ln_post", "proj")
    missing = [name for name in needed if not hasattr(visual, name)]
    if not missing and getattr(visual, "attn_pool", None) is None:
        blocks = visual.transformer.resblocks
        parts = ("ln_1", "attn", "ls_1", "ln_2", "mlp", "ls_2")
        attention_parts = ("in_proj_weight", "in_proj_bias", "out_proj", "num_heads")
        missing = [name for name in parts if not hasattr(blocks[0], name)]
        missing = missing or [f"attn.{n}" for n in attention_parts if not hasattr(blocks[0].attn, n)]
        if not missing:
            return
    found = f"no {', '.join(missing)}" if missing else "attentional pooling"
    msg = (
        f"The vision tower {type(visual).__name__} has {found}; dense attention needs a plain CLIP ViT (class token, "
        "learned positions, packed query-key-value projection). Choose an open_clip model whose name begins with ViT "
        "and that is no SigLIP, CoCa or timm model, for example ViT-B-16-quickgelu."
    )
    raise CheckpointError(msg)
