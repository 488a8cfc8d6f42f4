"""A share of the class token's answer in every patch's: what a window as a whole looks like, taken out of its patches.

Li et al., "SegEarth-OV: Towards Training-Free Open-Vocabulary Segmentation for Remote Sensing Images", CVPR 2025, arXiv
2410.01768, "global bias alleviation". The class token is that of the same changed last block, not of CLIP's own.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch

from sclip_lightning.ranges import Range
from sclip_lightning.windows import Scene, Sheet, SheetStep, compare_with_texts

__all__ = ["ClassTokenShare"]


@dataclass(frozen=True)
class ClassTokenShare(SheetStep):
    """Adds the class token's cosines, times a weight, to the logits of all patches of its window (SegEarth-OV).

    Args:
        weight: Factor on the class token's cosines; negative takes them out of the patches' (released code: -0.3), 0
            changes nothing.
    """

    option = "--model.prior"
    works_on = "tokens"
    needs = ("class_token",)

    weight: Annotated[float, Range()] = -0.3

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Change [W, r, c, Q] logits."""
        assert sheet.tokens is not None and sheet.tokens.class_token is not None
        cosines = compare_with_texts(sheet.tokens.class_token, scene.texts)
        with torch.autocast(cosines.device.type, enabled=False):
            return replace(sheet, logits=sheet.logits + self.weight * cosines[:, None, None])
