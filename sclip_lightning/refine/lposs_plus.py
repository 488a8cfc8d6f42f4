"""LPOSS+: merged logits, spread over the pixels of the image along equal colours.

Stojnić, Kalantidis, Matas, Tolias, "LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic
Segmentation", CVPR 2025, arXiv 2503.19777 (code: vladan-stojnic/LPOSS at e489a74). There it follows LPOSS; it is a step
of its own here and takes any logits.

As there it works at the size of the network's input, on logits of all names, and the maximum over a class's names is
that of this size. What deviates: the result is multiplied by 1 - alpha, see :class:`LPOSSPlus`, and the iteration is
float32 where theirs is float64 (2e-6 of the largest logit).
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from sclip_lightning.ranges import Range, above, at_least
from sclip_lightning.refine.graph.conjugate_gradient import conjugate_gradient
from sclip_lightning.refine.graph.pixel_graph import PixelGraph, lab, pixel_graph, system
from sclip_lightning.windows import Extent, MergedLogits, Scene, Sheet, SheetStep, WindowGrid
from sclip_lightning.windows.colours import colours

__all__ = ["LPOSSPlus", "best_name_first", "image_graph"]

#: What L, a and b are divided by.
LAB_SCALE = (100.0, 128.0, 128.0)
#: Numbers in a vector of an iteration, of which there are five: 128 MiB on a CPU ...
CPU_BLOCK = 2**25
#: ... and 256 MiB on an accelerator. However large the image is, products take a few queries together.
ACCELERATOR_BLOCK, FEWEST = 2**26, 8


@dataclass(frozen=True)
class LPOSSPlus(SheetStep):
    """Propagates logits of all queries over the graph of the image's pixels; see :func:`image_graph`.

    Propagated logits are up to 1 / (1 - alpha) = 20 times as large as what went in, and are multiplied by 1 - alpha, as
    in :class:`LPOSS`. Defaults are the authors' only values, the same for all benchmarks; figures they publish use no
    threshold.

    Args:
        neighbours: Side of the square of neighbours in pixels of the network's input; an even number counts as the next
            smaller odd one.
        tau: Distance of colours at which an edge has fallen to 1 / e, above 0; L in units of 100, a and b of 128.
        alpha: Share of the neighbours, from 0 (logits stay) to below 1.
        steps: Conjugate-gradient steps; at least 1. Ten leave a residual of some percent: they belong to the method.
    """

    keeps_cosines = False

    neighbours: Annotated[int, at_least(1, whole=True)] = 13
    tau: Annotated[float, above(0)] = 0.01
    alpha: Annotated[float, Range(0, 1, without_high=True)] = 0.95
    steps: Annotated[int, at_least(1, whole=True)] = 10

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Merge [W, r, c, Q] logits and propagate them; returns [1, h, w, Q], one window that is the image."""
        logits, size = sheet.logits, (scene.pixels.shape[1], scene.pixels.shape[2])
        image = WindowGrid(size, size, (0,), (0,))
        grid = sheet.grid if sheet.grid.image_size == size else image  # one window may state any size of the image
        budget = CPU_BLOCK if logits.device.type == "cpu" else ACCELERATOR_BLOCK
        chunks = -(-logits.shape[3] // max(budget // (size[0] * size[1]), FEWEST))
        # Rows, then queries, then columns: the order in which they are merged to the output's size, without a copy.
        maps = logits.new_empty(size[0], logits.shape[3], size[1])
        with torch.autocast(logits.device.type, enabled=False):
            matrix = system(image_graph(scene.pixels, self.neighbours, self.tau), self.alpha)
            for some, result in zip(logits.chunk(chunks, dim=3), maps.chunk(chunks, dim=1), strict=True):
                merged = MergedLogits(some, grid, size).full().flatten(1).T.contiguous()
                spread = conjugate_gradient(matrix.product, merged, self.steps)
                result.copy_(spread.mul_(1 - self.alpha).view(*size, -1).transpose(1, 2))
        best_name_first(maps, scene.texts.classes)
        return Sheet(maps.transpose(1, 2)[None], image)

    def memory(self, extent: Extent) -> int:
        """Logits of all queries at the size of the network's input."""
        return 4 * extent.queries * extent.network_pixels


def image_graph(pixels: Tensor, neighbours: int, tau: float) -> PixelGraph:
    """The graph of an image, edges ``exp(-|c_i - c_j| / tau)`` with c the scaled Lab colour; not normalised.

    Args:
        pixels: [3, H, W] in CLIP's normalisation. Colours are read off in 256 steps, as the image has them: the edges
            are so steep that rounding on the way from there and back would be seen.
        neighbours: Side of the square of neighbours in pixels.
        tau: As for :class:`LPOSSPlus`.
    """
    rgb = (colours(pixels) * 255).round().clamp(0, 255) / 255
    return pixel_graph(lab(rgb) / rgb.new_tensor(LAB_SCALE)[:, None, None], neighbours, tau)


def best_name_first(maps: Tensor, classes: Tensor) -> None:
    """Sort the logits of the names of each class, pixel by pixel, the largest first, in place.

    The head takes the maximum over a class's names at the output's size. Once sorted, that is the resized maximum, as
    in the authors' code, and not the maximum of resized logits.

    Args:
        maps: [H, Q, W].
        classes: [Q] int64, the class of each name.
    """
    for index, count in enumerate(classes.bincount().tolist()):
        if count > 1:
            names = (classes == index).nonzero().squeeze(1)
            maps[:, names] = maps[:, names].sort(dim=1, descending=True).values
