"""The only place where tests put towers, decoders and segmentors together and look between their parts.

Everything goes by names and numbers, so that tests of recordings can take these from the recording.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from open_clip.model import CLIP
from torch import Tensor, nn

from sclip_lightning.decoding import LastBlock, NeighbourAttention, ResidualAttention, SemanticFeedback
from sclip_lightning.model.head import Head
from sclip_lightning.model.recall import Recall
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import (
    Decoder,
    MapStep,
    Scene,
    SheetStep,
    Texts,
    Tokens,
    WindowGrid,
    Windows,
    compare_with_texts,
)


def build_decoder(
    attention: str = "sclip",
    residual: bool | None = None,
    gaussian_std: float = 5.0,
    rcs: ResidualAttention | None = None,
    sfr: SemanticFeedback | None = None,
) -> LastBlock:
    """The last block with one of the attentions; ``gaussian_std`` is the width of ``naclip``'s window."""
    chosen = NeighbourAttention(gaussian_std) if attention == "naclip" else attention
    return LastBlock(chosen, residual, rcs, sfr)


class DenseTower:
    """A CLIP tower with a decoder; whatever else is asked of it is the tower's."""

    def __init__(self, tower: ClipTower, decoder: LastBlock) -> None:
        self.tower = tower
        self.decoder = decoder.fitted(tower.depth, tower.patch_size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tower, name)


class BatchSegmentor:
    """A segmentor that takes batches of images, image by image."""

    def __init__(self, segmentor: SlidingWindowSegmentor) -> None:
        self.segmentor = segmentor
        self.head, self.query_classes = segmentor.head, segmentor.query_classes
        self.tower = DenseTower(segmentor.tower, segmentor.decoder)

    def logits(self, images: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """[B, Q, H, W] merged logits, not refined."""
        scenes = [self.segmentor.scene(image, size) for image in images]
        return torch.stack([self.segmentor.merged_logits(scene).full() for scene in scenes])

    def predict(self, images: Tensor, size: tuple[int, int] | None = None, rgb: Tensor | None = None) -> Tensor:
        """[B, H, W] labels."""
        return torch.stack([one.labels for one in self._all(images, size, rgb)])

    def probabilities(self, images: Tensor, size: tuple[int, int] | None = None, rgb: Tensor | None = None) -> Tensor:
        """[B, C, H, W] refined class probabilities."""
        return torch.stack([one.probabilities for one in self._all(images, size, rgb)])

    def _all(self, images: Tensor, size: tuple[int, int] | None, rgb: Tensor | None) -> list[Any]:
        guides = [None] * len(images) if rgb is None else rgb
        return [self.segmentor.predict(image, size, guide) for image, guide in zip(images, guides, strict=True)]


def build_tower(
    model: CLIP,
    attention: str = "sclip",
    residual: bool | None = None,
    gaussian_std: float = 5.0,
    rcs: ResidualAttention | None = None,
) -> DenseTower:
    """The vision tower of a CLIP model with one of the attentions in its last block."""
    return DenseTower(ClipTower(model.visual), build_decoder(attention, residual, gaussian_std, rcs))


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
    decoder: Decoder | None = None,
    head: Head | None = None,
    steps: Sequence[SheetStep] = (),
    networks: dict[str, nn.Module] | None = None,
    refiners: Sequence[MapStep] = (),
    recall: Recall | None = None,
    **windows: int,
) -> BatchSegmentor:
    """A segmentor; ``windows`` are crop, stride, padding and window_batch_size; ``recall`` is of one model only."""
    tower = ClipTower(model.visual)
    decoder = decoder or build_decoder(attention, residual, gaussian_std, rcs, sfr)
    for part in (decoder, *steps, *refiners):
        part.fitted(tower.depth, tower.patch_size)
    return BatchSegmentor(
        SlidingWindowSegmentor(
            {"clip": tower, **(networks or {})},
            Texts(queries, classes),
            decoder,
            head or Head(40.0),
            sheet_steps=steps,
            map_steps=refiners,
            recall=recall,
            **windows,
        )
    )


def build_head(scale: str | float, threshold: str | float = 0, area: str | float = 0) -> Head:
    """A head from numbers, or from the words in a recording's keys."""
    return Head(float(scale), float(threshold), 0.0 if area == "None" else float(area))


def scene_of(windows: Tensor, texts: Texts, networks: dict[str, Any]) -> Scene:
    """The scene of an image that consists of windows [W, 3, a, b] side by side."""
    count, _, height, width = windows.shape
    image = windows.permute(1, 2, 0, 3).reshape(3, height, count * width)
    lefts = tuple(range(0, count * width, width))
    grid = WindowGrid((height, count * width), (height, width), (0,), lefts)
    return Scene(image, grid.image_size, Windows(image, grid, count), texts, networks)


def guide(rgb: Tensor | None = None, pixels: Tensor | None = None, regions: Tensor | None = None) -> Scene:
    """A scene for steps on maps, which look at nothing but the image and its segments."""
    pixels = torch.zeros(3, 16, 16) if pixels is None else pixels
    grid = WindowGrid((pixels.shape[1], pixels.shape[2]), (pixels.shape[1], pixels.shape[2]), (0,), (0,))
    texts = Texts(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64))
    return Scene(pixels, grid.image_size, Windows(pixels, grid, 1), texts, rgb=rgb, regions=regions)


@torch.no_grad()
def decoded(tower: DenseTower, windows: Tensor, texts: Texts | None = None, **changes: Any) -> Tokens:
    """What a tower's decoder, with some of its fields changed, makes of windows."""
    texts = texts or Texts(torch.zeros(1, tower.text_width), torch.zeros(1, dtype=torch.int64))
    decoder = replace(tower.decoder, **changes)
    return decoder.decode(scene_of(windows, texts, {"clip": tower.tower}), keep_values=True)


def joined(tokens: Tokens) -> Tensor:
    """[W, 1 + N, E], the class token first."""
    return torch.cat([tokens.class_token[:, None], tokens.features.flatten(1, 2)], dim=1)


def tokens(tower: DenseTower, images: Tensor) -> Tensor:
    """[B, 1 + N, E] the class token and the patches after the tower, not normalised."""
    return joined(decoded(tower, images))


@torch.no_grad()
def value_tokens(tower: DenseTower, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """[B, 1 + N, E] tokens of the last block's values alone, and the grid of the patches."""
    trunk = tower.trunk(images)
    _, _, v = tower.project(trunk.x, tower.depth)
    return tower.to_text_space(tower.output(v, tower.depth)), trunk.grid


def final_tokens(segmentor: BatchSegmentor, windows: Tensor) -> Tensor:
    """[W, 1 + N, E] class token and patches of windows, of the second pass where there are two."""
    return joined(decoded(segmentor.tower, windows, _texts(segmentor)))


def first_pass_logits(segmentor: BatchSegmentor, windows: Tensor) -> Tensor:
    """[W, N, Q] cosines of the first pass."""
    texts = _texts(segmentor)
    return compare_with_texts(decoded(segmentor.tower, windows, texts, sfr=False).features, texts).flatten(1, 2)


@torch.no_grad()
def patch_logits(segmentor: BatchSegmentor, windows: Tensor) -> Tensor:
    """[W, N, Q] cosines of windows, upsampled where there is an upsampler."""
    return patch_maps(segmentor, windows).flatten(2).mT


@torch.no_grad()
def patch_maps(segmentor: BatchSegmentor, windows: Tensor) -> Tensor:
    """[W, Q, h, w] the same on the grid of the cells."""
    inner = segmentor.segmentor
    return inner.sheet(scene_of(windows, _texts(segmentor), dict(inner.networks))).logits.permute(0, 3, 1, 2)


@torch.no_grad()
def source_attention(tower: DenseTower, rcs: ResidualAttention, images: Tensor) -> Tensor:
    """[B, heads, 1 + N, 1 + N] the mean attention of RCS's source layers.

    Values that are the identity make attention hand out its own map.
    """
    projections = tower.trunk(images, keep_projections=rcs.layers).projections
    sources = [projections[layer] for layer in rcs.layers]
    batch, heads, number, _ = sources[0][0].shape
    return rcs.cross(sources, torch.eye(number).expand(batch, heads, -1, -1))


def _texts(segmentor: BatchSegmentor) -> Texts:
    return Texts(segmentor.segmentor.queries, segmentor.query_classes)
