"""Finer logits from features that are resized between patches, before they are compared with texts.

Li et al., "SegEarth-OV: Towards Training-Free Open-Vocabulary Segmentation for Remote Sensing Images", CVPR 2025, arXiv
2410.01768; the released code (likyoo/SegEarth-OV at 3e22a96) has it as the "bilinear" upsampler, where its learned one
stands otherwise. Resized features are shorter where patches disagree, so their cosines are not the resized cosines.

The features themselves are never resized: their products with texts are linear in them, and their lengths follow from
the products of neighbouring patches.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import at_least
from sclip_lightning.windows import Scene, Sheet, SheetStep, compare_with_texts
from sclip_lightning.windows.merge import resize_operator

__all__ = ["ResizedFeatures", "resized_cosines"]

#: Keeps lengths away from 0, as in ``torch.nn.functional.normalize``.
SHORTEST = 1e-12


@dataclass(frozen=True)
class ResizedFeatures(SheetStep):
    """Compares texts with bilinearly resized features (bilinear upsampler of SegEarth-OV, CVPR 2025, arXiv 2410.01768).

    What other parts added to the patches' logits before is resized and added again.

    Args:
        scale: Positions per patch and axis, up to the patch size; null takes one a pixel as the released code does.
            Logits of all windows then take as much memory as scale squared says.
    """

    option = "--model.upsampler"
    works_on = "tokens"

    scale: Annotated[int, at_least(1, whole=True)] | None = None

    def fitted(self, depth: int, patch_size: tuple[int, int]) -> "ResizedFeatures":
        """The same with the patch size for a scale that is null.

        Raises:
            ConfigError: Its grid would be finer than the pixels.
        """
        del depth
        if self.scale is not None and self.scale > min(patch_size):
            msg = (
                f"ResizedFeatures cannot give {self.scale} positions per patch of {min(patch_size)} pixels: set "
                "--model.upsampler.scale to at most the patch size."
            )
            raise ConfigError(msg)
        return replace(self, scale=min(patch_size) if self.scale is None else self.scale)

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Replace [W, r, c, Q] logits by those of [W, r * scale, c * scale, Q] positions."""
        assert sheet.tokens is not None and self.scale is not None
        features = sheet.tokens.features
        with torch.autocast(features.device.type, enabled=False):
            finer = resized_cosines(features.float(), scene.texts.queries, self.scale)
            added = sheet.logits - compare_with_texts(features, scene.texts)
            if added.any():
                finer += _resized(added, *_operators(added, self.scale))
        return Sheet(finer, sheet.grid)


def resized_cosines(features: Tensor, texts: Tensor, scale: int) -> Tensor:
    """Cosines of bilinearly resized features with texts.

    Args:
        features: [W, r, c, E] float32, not normalised.
        texts: [Q, E] float32, L2-normalised.
        scale: Positions per patch and axis.

    Returns:
        [W, r * scale, c * scale, Q] float32.
    """
    down, across = _operators(features, scale)
    # Two rows and two columns of patches meet at a position; the pairs that these four make have weights of their own.
    down_pair, across_pair = down[:, 1:] * down[:, :-1], across[:, 1:] * across[:, :-1]

    def resized_products(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return _resized((a * b).sum(dim=-1, keepdim=True), rows, columns)

    upper, lower, left, right = features[:, :-1], features[:, 1:], features[:, :, :-1], features[:, :, 1:]
    squares = resized_products(features, features, down.square(), across.square())
    squares += 2 * resized_products(left, right, down.square(), across_pair)
    squares += 2 * resized_products(upper, lower, down_pair, across.square())
    squares += 2 * resized_products(upper[:, :, :-1], lower[:, :, 1:], down_pair, across_pair)
    squares += 2 * resized_products(upper[:, :, 1:], lower[:, :, :-1], down_pair, across_pair)
    products = _resized(features @ texts.T, down, across)
    return products.div_(squares.clamp(min=SHORTEST**2).sqrt())


def _operators(maps: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Bilinear operators of the rows [r * scale, r] and columns [c * scale, c] of maps [W, r, c, *]."""
    rows, columns = (resize_operator(side, side * scale, maps.device) for side in maps.shape[1:3])
    return rows, columns


def _resized(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """[W, r, c, K] maps with an operator applied to their rows and one to their columns."""
    wide = columns @ maps
    return (rows @ wide.flatten(2)).unflatten(2, wide.shape[2:])
