"""CLIP's vision tower as a source of dense, text-aligned patch tokens."""

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers.tower import Tower, Trunk

__all__ = ["ClipTower", "resize_position_embedding"]


class ClipTower(Tower):
    """An open_clip ViT, with each step of its last block callable by itself.

    Args:
        visual: The ``visual`` module of an open_clip ``CLIP`` model. Its parameters are shared, not copied.
        compiled: Have torch compile the blocks, at the first windows. Numbers of windows and tokens are left open, so
            that an image of another size needs no second time. Last digits change.

    Raises:
        CheckpointError: The module is no plain ViT (a timm tower, attentional pooling, blocks of another kind).
    """

    def __init__(self, visual: nn.Module, compiled: bool = False) -> None:
        super().__init__()
        _check_plain_vit(visual)
        self.visual: Any = visual
        self.compiled = compiled
        self._run = torch.compile(_run, dynamic=True) if compiled else _run

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self._blocks)

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        return self.visual.conv1.stride

    @property
    def head_width(self) -> int:
        """d, channels of one attention head."""
        return self.visual.conv1.out_channels // self._blocks[0].attn.num_heads

    @property
    def text_width(self) -> int:
        """E, channels of the space of the text embeddings."""
        return self.visual.proj.shape[1]

    def trunk(
        self,
        windows: Tensor,
        keep: Collection[int] = (),
        keep_projections: Collection[int] = (),
        exact_positions: bool = False,
    ) -> Trunk:
        """Run every block but the last; see :meth:`Tower.trunk`.

        Args:
            windows: As there.
            keep: As there.
            keep_projections: As there.
            exact_positions: See :func:`resize_position_embedding`.
        """
        visual = self.visual
        patches = visual.conv1(windows)
        rows, columns = patches.shape[-2:]
        embedding, trained = visual.positional_embedding, visual.grid_size
        position = resize_position_embedding(embedding, trained, (rows, columns), exact_positions)
        # The residual stream stays in the parameters' precision under autocast: only the products are rounded.
        patches = patches.flatten(2).transpose(1, 2).to(position.dtype)
        class_token = visual.class_embedding.expand(len(windows), 1, -1)
        x = torch.cat([class_token, patches], dim=1) + position
        x = visual.ln_pre(x)
        kept = {0: x} if 0 in keep else {}
        projections = {}
        for number, part in enumerate(self._blocks[:-1], start=1):
            if number in keep_projections:
                q, k, v = _project(part, x)
                projections[number] = q.contiguous(), k.contiguous()  # copies: the values packed beside them are freed
                x = _finish(part, x, F.scaled_dot_product_attention(q, k, v))
            else:
                x = self._run(part, x)
            if number in keep:
                kept[number] = x
        return Trunk(x, (rows, columns), prefix=1, blocks=kept, projections=projections)

    def project(self, x: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of a block; see :meth:`Tower.project`.

        Only ``in_proj_weight``, ``in_proj_bias`` and ``num_heads`` are read, which ``nn.MultiheadAttention`` and
        open_clip's own attention share.
        """
        return _project(self._blocks[block - 1], x)

    def output(self, y: Tensor, block: int) -> Tensor:
        """Join the heads of [B, heads, N, d] and apply a block's output projection; returns [B, N, D]."""
        return _output(self._blocks[block - 1], y)

    def finish(self, x: Tensor, y: Tensor, block: int, residual: bool = True) -> Tensor:
        """Complete a block; see :meth:`Tower.finish`."""
        part = self._blocks[block - 1]
        return _finish(part, x, y) if residual else part.ls_1(_output(part, y))

    def embedding(self, x: Tensor, projections: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """CLIP's own embedding of whole images, as its own last block has it: only its class token is computed.

        Args:
            x: [B, N, D], what the last block starts from.
            projections: The block's queries, keys and values of ``x``.

        Returns:
            [B, E], not normalised.
        """
        q, k, v = projections
        y = F.scaled_dot_product_attention(q[:, :, :1], k, v)
        return self.to_text_space(self.finish(x[:, :1], y, self.depth))[:, 0]

    def to_text_space(self, x: Tensor) -> Tensor:
        """Final norm and text projection: [B, N, D] of the last block to [B, N, E], not normalised."""
        return self.visual.ln_post(x) @ self.visual.proj

    @property
    def _blocks(self) -> Any:
        return self.visual.transformer.resblocks


def _run(part: Any, x: Tensor) -> Tensor:
    """A block as it was trained, [B, N, D] to the same shape. No method: for torch all blocks then are one code."""
    q, k, v = _project(part, x)
    return _finish(part, x, F.scaled_dot_product_attention(q, k, v))


def _project(part: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    attention, (batch, tokens, width) = part.attn, x.shape
    packed = F.linear(part.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    heads = attention.num_heads
    q, k, v = packed.view(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    return q, k, v


def _output(part: Any, y: Tensor) -> Tensor:
    joined: Tensor = part.attn.out_proj(y.transpose(1, 2).flatten(2))
    return joined


def _finish(part: Any, x: Tensor, y: Tensor) -> Tensor:
    x = x + part.ls_1(_output(part, y))
    finished: Tensor = x + part.ls_2(part.mlp(part.ln_2(x)))
    return finished


def resize_position_embedding(
    embedding: Tensor, trained: tuple[int, int], grid: tuple[int, int], exact: bool = False
) -> Tensor:
    """Fit a learned position embedding to another grid of patches.

    Bicubic, with ``scale_factor = (n + 0.1) / n_trained`` as in DINO (Caron et al., ICCV 2021), which SCLIP follows:
    the 0.1 enters the sampling positions, so resizing with ``size=`` gives other numbers.

    Args:
        embedding: [1 + n_h * n_w, D], the class token's first; that one is never resized.
        trained: (n_h, n_w), the grid it was trained on.
        grid: (rows, columns) wanted.
        exact: Leave the 0.1 out, as LPOSS does for CLIP.

    Returns:
        [1 + rows * columns, D]; the input itself where the grid is the trained one.
    """
    if grid == tuple(trained):
        return embedding
    patches = embedding[1:].T.reshape(1, -1, *trained).float()
    with torch.autocast(embedding.device.type, enabled=False):
        if exact:
            patches = F.interpolate(patches, grid, mode="bicubic", align_corners=False)
        else:
            scale = ((grid[0] + 0.1) / trained[0], (grid[1] + 0.1) / trained[1])
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
