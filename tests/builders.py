"""The only place where tests put towers, decoders and segmentors together and look between their parts.

Everything goes by names and numbers, so that tests of recordings can take these from the recording.
"""

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.model import CLIP
from torch import Tensor

from sclip_lightning.decoding.attention import project_qkv
from sclip_lightning.decoding.feedback import SemanticFeedback
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers.clip import VisionTower
from sclip_lightning.upsampling import LogitUpsampler


def build_tower(
    model: CLIP,
    attention: str = "sclip",
    residual: bool | None = None,
    gaussian_std: float = 5.0,
    rcs: ResidualAttention | None = None,
) -> VisionTower:
    """The vision tower of a CLIP model with one of the attentions in its last block."""
    return VisionTower(model.visual, attention, residual, gaussian_std, rcs)


def build_segmentor(
    model: CLIP,
    queries: Tensor,
    classes: Tensor,
    attention: str = "sclip",
    residual: bool | None = None,
    *,
    gaussian_std: float = 5.0,
    rcs: ResidualAttention | None = None,
    sfr: SemanticFeedback | None = None,
    head: Head | None = None,
    upsampler: LogitUpsampler | None = None,
    refiners: Sequence[Any] = (),
    **windows: int,
) -> SlidingWindowSegmentor:
    """A segmentor; ``windows`` are crop, stride and window_batch_size."""
    tower = build_tower(model, attention, residual, gaussian_std, rcs)
    head = head or Head(40.0)
    return SlidingWindowSegmentor(
        tower, queries, classes, head, feedback=sfr, upsampler=upsampler, refiners=refiners, **windows
    )


def build_head(scale: str | float, threshold: str | float = 0, area: str | float = 0) -> Head:
    """A head from numbers, or from the words in a recording's keys."""
    return Head(float(scale), float(threshold), 0.0 if area == "None" else float(area))


def tokens(tower: VisionTower, images: Tensor) -> Tensor:
    """[B, 1 + N, E] the class token and the patches after the tower, not normalised."""
    return tower(images)


def value_tokens(tower: VisionTower, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[B, 1 + N, E] tokens of the last block's values alone, and the grid of the patches."""
    trunk = tower.trunk(images)
    return tower.value_path(trunk), trunk.grid


def final_tokens(segmentor: SlidingWindowSegmentor, windows: Tensor) -> Tensor:
    """[W, 1 + N, E] class token and patches of windows, of the second pass where there are two."""
    tower, feedback = segmentor.tower, segmentor.feedback
    trunk = tower.trunk(windows)
    result = tower.finish(trunk)
    if feedback:
        bias = feedback.bias(segmentor._cosines(result), windows, trunk.grid, tower.patch_size)
        result = tower.finish(trunk, bias, feedback.gain)
    return result


def first_pass_logits(segmentor: SlidingWindowSegmentor, windows: Tensor) -> Tensor:
    """[W, N, Q] cosines of the first pass."""
    return segmentor._cosines(tokens(segmentor.tower, windows))


def patch_logits(segmentor: SlidingWindowSegmentor, windows: Tensor) -> Tensor:
    """[W, N, Q] cosines of windows, upsampled where there is an upsampler."""
    return segmentor._window_logits(windows)


def patch_maps(segmentor: SlidingWindowSegmentor, windows: Tensor) -> Tensor:
    """[W, Q, h, w] the same on the grid of the patches; not for upsampled logits."""
    cells = segmentor.tower.grid_size(*windows.shape[-2:])
    return patch_logits(segmentor, windows).mT.unflatten(2, cells)


def source_attention(tower: VisionTower, rcs: ResidualAttention, images: Tensor) -> Tensor:
    """[B, heads, 1 + N, 1 + N] the mean attention of RCS's source layers.

    Values that are the identity make attention hand out its own map.
    """
    sources, handles = [], []
    for block in tower.blocks[rcs.first_layer - 1 : rcs.last_layer]:
        keep = lambda _, inputs, x, block=block: sources.append(project_qkv(block.attn, x)[:2])  # noqa: E731
        handles.append(block.ln_1.register_forward_hook(keep))
    tower.trunk(images)
    for handle in handles:
        handle.remove()
    batch, heads, number, _ = sources[0][0].shape
    return rcs.cross(sources, torch.eye(number).expand(batch, heads, -1, -1))
