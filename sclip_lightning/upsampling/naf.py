"""Finer logits with NAF (Chambon et al., "NAF", CVPR 2026, arXiv 2511.18452; code: valeoai/NAF at ad4e24d).

NAF mixes features of near cells with weights that the image alone decides. Here the same weights mix logits. The
authors' four heads mix a quarter of the channels each, in the order of DINOv3's channels, to which CLIP's have no
relation; here the heads' weights are averaged, which is what any order of channels gives on average. So a position's
logits stay a convex mix of its sources, and their text space is kept. No figure for this use is published.

Once per image, which is not in the authors' code, windows are merged on the image's grid of patches first. Then the
network sees each pixel once, and windows cannot disagree at seams. An image that the released code would make square,
because it has more than four pixels per position, keeps its proportions there.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.ranges import at_least
from sclip_lightning.upsampling.mixing.guided import GuidedUpsampler, covered_pixels, together
from sclip_lightning.upsampling.mixing.neighbours import mixed_logits, shifted_inwards
from sclip_lightning.upsampling.networks.naf import KERNEL, NAFNetwork, load_naf
from sclip_lightning.windows import Extent, MergedLogits, Scene, Sheet, Tokens, WindowGrid
from sclip_lightning.windows.colours import imagenet_colours

__all__ = ["NAF", "naf_logits"]

#: The network shrinks what has more pixels than this per position and axis.
PIXELS_A_POSITION = 4


@dataclass(frozen=True)
class NAF(GuidedUpsampler):
    """Mixes the logits of 9 x 9 cells as the image alone says (Chambon et al., NAF, CVPR 2026, arXiv 2511.18452).

    Needs nothing of the decoder but logits, so it goes with any.

    Args:
        weights: published for the authors' file, fetched from GitHub once, or its path. Null, random weights, is
            accepted only together with random CLIP weights.
        where: image works once, on all windows merged on the image's patches; window on each window by itself.
        scale: Positions per patch and axis, up to the patch size. Below 4 the network sees a smaller image.
    """

    weights: str | None = "published"
    where: Literal["window", "image"] = "image"
    scale: Annotated[int, at_least(1, whole=True)] = 4

    @property
    def networks(self) -> tuple[str, ...]:
        """NAF's own."""
        return ("naf",)

    def load_network(self, name: str, width: int) -> NAFNetwork:
        """Load the network, which fits features of any width."""
        del name, width
        return load_naf(self.weights)

    def memory(self, extent: Extent) -> int:
        """Once per image: two maps of 128 channels of what the network sees of it, at patches of at most 32 pixels."""
        seen = min(1, PIXELS_A_POSITION * self.scale / 32) ** 2
        return int(2 * 4 * 128 * extent.network_pixels * seen) if self.where == "image" else 0

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Upsample [W, r, c, Q] logits; returns [1, h, w, Q], one window that is the image, unless per window."""
        return super().__call__(merged_on_patches(sheet, scene) if self.where == "image" else sheet, scene)

    def guidance(self, sheet: Sheet, scene: Scene) -> Tensor:
        """What of the image the cells cover; once per image all of it, no axis larger than the network takes."""
        if self.where == "window":
            return super().guidance(sheet, scene)
        most = [PIXELS_A_POSITION * self.scale * cells for cells in sheet.logits.shape[1:3]]
        height, width = (min(side, limit) for side, limit in zip(scene.pixels.shape[1:], most, strict=True))
        return scene.resized_pixels((height, width))[None]

    def finer(self, logits: Tensor, guidance: Tensor, tokens: Tokens | None, scene: Scene) -> Tensor:
        """Upsample the logits [B, Q, r, c] of some windows; see :meth:`GuidedUpsampler.finer`."""
        del tokens
        return naf_logits(scene.networks["naf"], imagenet_colours(guidance), logits, self.scale)


def naf_logits(network: NAFNetwork, image: Tensor, logits: Tensor, scale: int, kernel: int = KERNEL) -> Tensor:
    """Mix the logits of near cells at each position of a finer grid as an image says.

    Args:
        network: NAF.
        image: [B, 3, H, W] float32, what the cells cover, in ImageNet's normalisation; of any size.
        logits: [B, Q, h, w] float32.
        scale: Positions per cell and axis.
        kernel: Cells of a row or column that take part; all where there are fewer.

    Returns:
        [B, Q, h * scale, w * scale] float32.
    """
    height, width = logits.shape[2:]
    rows, columns = (shifted_inwards(cells, kernel, logits.device) for cells in (height, width))
    number, finer = together(image), []
    for some, sources in zip(image.split(number), logits.split(number), strict=True):
        queries = network.queries(some, (height * scale, width * scale))
        keys = F.avg_pool2d(queries.flatten(1, 2), scale).unflatten(1, queries.shape[1:3])
        finer.append(mixed_logits(queries, keys, sources, rows, columns, queries.shape[2] ** -0.5))
    return torch.cat(finer)


def merged_on_patches(sheet: Sheet, scene: Scene) -> Sheet:
    """Logits [1, R, C, Q] of all windows on the image's own grid of patches, rounded to whole ones."""
    covered = covered_pixels(sheet, scene)
    size = (scene.pixels.shape[1], scene.pixels.shape[2])
    cells = [max(1, round(side * n / of)) for side, n, of in zip(size, sheet.logits.shape[1:3], covered, strict=True)]
    merged = MergedLogits(sheet.logits, sheet.grid, (cells[0], cells[1])).full()
    return Sheet(merged.permute(1, 2, 0)[None], WindowGrid(size, size, (0,), (0,)))
