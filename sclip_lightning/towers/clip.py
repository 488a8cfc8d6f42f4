"""CLIP's vision tower as a source of dense, text-aligned patch tokens."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sclip_lightning.decoding.attention import (
    RESIDUAL_BY_DEFAULT,
    AttentionVariant,
    attend,
    gaussian_window,
    merge_heads,
    project_qkv,
)
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.errors import CheckpointError, ConfigError

__all__ = ["LastInput", "VisionTower", "resize_position_embedding"]


class LastInput(NamedTuple):
    """What the last block starts from.

    Attributes:
        x: [B, 1 + h * w, width] tokens.
        q: [B, heads, 1 + h * w, d] queries of the last block.
        k: Its keys.
        v: Its values.
        cross: The source layers' attention applied to ``v``, the same shape; None without residual attention.
        grid: (h, w), rows and columns of patches.
    """

    x: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    cross: Tensor | None
    grid: tuple[int, int]


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
        residual_attention: ResCLIP's RCS; None leaves it out.

    Raises:
        CheckpointError: The module is no plain ViT (a timm tower, attentional pooling, blocks of another kind).
        ConfigError: The source layers of the residual attention do not lie before the last block.
    """

    def __init__(
        self,
        visual: nn.Module,
        attention: AttentionVariant = "sclip",
        residual: bool | None = None,
        gaussian_std: float = 5.0,
        residual_attention: ResidualAttention | None = None,
    ) -> None:
        super().__init__()
        _check_plain_vit(visual)
        self.visual: Any = visual
        if residual_attention:
            _check_source_layers(residual_attention, len(self.blocks))
        self.attention = attention
        self.residual = RESIDUAL_BY_DEFAULT[attention] if residual is None else residual
        self.gaussian_std = gaussian_std
        self.residual_attention = residual_attention

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
        return self.finish(self.trunk(images))

    def trunk(self, images: Tensor) -> LastInput:
        """Run everything before the last block's attention; [B, 3, H, W] images in."""
        visual = self.visual
        patches = visual.conv1(images)
        rows, columns = patches.shape[-2:]
        position = resize_position_embedding(visual.positional_embedding, visual.grid_size, (rows, columns))
        # The residual stream stays in the parameters' precision under autocast: only the products are rounded.
        patches = patches.flatten(2).transpose(1, 2).to(position.dtype)
        class_token = visual.class_embedding.expand(len(images), 1, -1)
        x = torch.cat([class_token, patches], dim=1) + position
        x = visual.ln_pre(x)
        rcs = self.residual_attention
        sources = []
        for layer, block in enumerate(self.blocks[:-1], start=1):
            q, k, v = project_qkv(block.attn, block.ln_1(x))
            if rcs and rcs.first_layer <= layer <= rcs.last_layer:
                sources.append((q.contiguous(), k.contiguous()))  # copies: the values packed beside them are freed
            x = x + block.ls_1(merge_heads(block.attn, attend("vanilla", q, k, v)))
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
        last = self.blocks[-1]
        q, k, v = project_qkv(last.attn, last.ln_1(x))
        return LastInput(x, q, k, v, rcs.cross(sources, v) if rcs else None, (rows, columns))

    def finish(self, inputs: LastInput, bias: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """Run the last block, ``ln_post`` and the projection into the text space.

        May be called more than once for one trunk, as semantic feedback does.

        Args:
            inputs: What :meth:`trunk` returned.
            bias: Broadcastable to [B, heads, 1 + h * w, 1 + h * w], added to the attention logits.
            gain: Factor on the scaled products of queries and keys.

        Returns:
            As :meth:`forward`.
        """
        block = self.blocks[-1]
        x, q, k, v, cross, grid = inputs
        if self.attention == "naclip":
            window = gaussian_window(*grid, self.gaussian_std, x.device)
            bias = window if bias is None else bias + window
        y = attend(self.attention, q, k, v, bias, gain)
        if self.residual_attention and cross is not None:
            y = self.residual_attention.mix(y, cross)
        y = block.ls_1(merge_heads(block.attn, y))
        if self.residual:
            x = x + y
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
        else:
            x = y
        return self.visual.ln_post(x) @ self.visual.proj

    def value_path(self, inputs: LastInput) -> Tensor:
        """The last block's values alone, projected into the text space, whatever the tower's attention is.

        No attention, residual or MLP: the features that LoftUp's authors (ICCV 2025) feed their CLIP upsampler with.

        Returns:
            As :meth:`forward`.
        """
        return self.visual.ln_post(merge_heads(self.blocks[-1].attn, inputs.v)) @ self.visual.proj

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


def _check_source_layers(rcs: ResidualAttention, depth: int) -> None:
    if not 1 <= rcs.first_layer <= rcs.last_layer < depth:
        msg = (
            f"Residual attention takes layers {rcs.first_layer} to {rcs.last_layer}, but this tower has {depth} and "
            f"the last cannot be a source. Set --model.rcs_layers to a range within 1 to {depth - 1} (published: 6 to "
            "9 of 12)."
        )
        raise ConfigError(msg)


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
