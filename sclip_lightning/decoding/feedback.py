"""Semantic feedback refinement (SFR): a first segmentation decides which patches attend to which in the last block.

Yang et al., "ResCLIP: Residual Attention for Training-free Dense Vision-language Inference", CVPR 2025, arXiv
2411.15851. What the paper leaves open follows the authors' released code, whose oddities are kept where they change the
result and named here.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.decoding.affinity.line_of_sight import in_sight, lines_between_patches
from sclip_lightning.ranges import LOGIT_SCALES, above, at_least, between
from sclip_lightning.refine.pamr import pamr_weights, smooth
from sclip_lightning.windows import Extent, Part
from sclip_lightning.windows.merge import resize_operator

__all__ = ["SemanticFeedback", "patch_affinity", "patch_labels"]

#: PAMR inside the first pass, whatever refines the result afterwards (released code).
PAMR_ITERATIONS, PAMR_DILATIONS = 10, (8, 16)

#: Pixels of first-pass maps at once: a window of 224 x 224 on the CPU, whose maps then stay near the cache ...
CPU_PIXELS = 224 * 224
#: ... and 64 of them on an accelerator.
ACCELERATOR_PIXELS = 64 * CPU_PIXELS


@dataclass(frozen=True)
class SemanticFeedback(Part):
    """Mixes a map of which patches look alike into the last block's attention logits.

    With ``z`` the scaled products of queries and keys and ``S`` the affinity of the first pass, the second pass takes
    ``softmax(tau * ((1 - lam) * z + lam * S))``.

    Args:
        tau: Factor on the mixed logits; null takes what is published for the benchmark.
        lam: Share of the affinity, in [0, 1]; null likewise.
        threshold: Pixels less certain than this in the first pass count as query 0, whatever that is (released code);
            in [0, 1], null likewise.
        logit_scale: Factor on the first pass's cosines before its softmax; null takes that of the head.
        gaussian_std: Standard deviation of the affinity's blur, in patches (released code: 5).
        line_of_sight: Weaken ties between patches that do not see each other through patches of their own label.
    """

    option = "--model.decoder.sfr"

    tau: Annotated[float, above(0)] | None = None
    lam: Annotated[float, between(0, 1)] | None = None
    threshold: Annotated[float, between(0, 1)] | None = None
    logit_scale: Annotated[float, LOGIT_SCALES] | None = None
    gaussian_std: Annotated[float, at_least(0.01)] = 5.0
    line_of_sight: bool = True

    @property
    def gain(self) -> float:
        """Factor on the scaled products of the second pass."""
        assert self.tau is not None and self.lam is not None
        return self.tau * (1 - self.lam)

    def memory(self, extent: Extent) -> int:
        """Logits of all queries at the pixels of a window, before and after an iteration of PAMR."""
        return 2 * 4 * extent.queries * extent.window_pixels

    def bias(self, logits: Tensor, windows: Tensor, cells: tuple[int, int], patch_size: tuple[int, int]) -> Tensor:
        """What the second pass adds to its attention logits.

        Args:
            logits: [B, h * w, Q] float32 cosines of the first pass.
            windows: [B, 3, H, W] the network's input.
            cells: (h, w), rows and columns of patches.
            patch_size: Height and width of a patch in pixels.

        Returns:
            [B, 1, 1 + h * w, 1 + h * w] float32, the same for all heads; 0 for the class token.
        """
        assert self.tau is not None and self.lam is not None
        assert self.threshold is not None and self.logit_scale is not None
        budget = CPU_PIXELS if windows.device.type == "cpu" else ACCELERATOR_PIXELS
        step = max(budget // (windows.shape[-2] * windows.shape[-1]), 1)
        parts = zip(logits.split(step), windows.split(step), strict=True)
        labels = [
            patch_labels(some, images, cells, patch_size, self.logit_scale, self.threshold) for some, images in parts
        ]
        affinity = patch_affinity(torch.cat(labels), cells, self.gaussian_std, self.line_of_sight)
        # The released code rounds the map and its share to float16 even in a float32 model.
        share = (affinity / affinity.amax(dim=(1, 2), keepdim=True)).half() * self.lam
        return F.pad(self.tau * share.float(), (1, 0, 1, 0))[:, None]


def patch_labels(
    logits: Tensor,
    images: Tensor,
    cells: tuple[int, int],
    patch_size: tuple[int, int],
    logit_scale: float,
    threshold: float,
) -> Tensor:
    """The most frequent query in every patch of the first pass.

    The logits are resized to the pixels and smoothed by PAMR; a pixel takes the query of the highest softmax
    probability, or query 0 where that is below the threshold. Synonyms are queries of their own here.

    Args:
        logits: [B, h * w, Q] float32 cosines.
        images: [B, 3, H, W] the network's input.
        cells: (h, w), rows and columns of patches; a remainder of the image under one patch is left out.
        patch_size: Height and width of a patch in pixels.
        logit_scale: Factor on the cosines before the softmax.
        threshold: Least probability.

    Returns:
        [B, h * w] int64; the smallest of equally frequent queries.
    """
    batch, _, queries = logits.shape
    height, width = images.shape[-2:]
    resize_y, resize_x = (
        resize_operator(cell, side, logits.device) for cell, side in zip(cells, (height, width), strict=True)
    )
    maps = resize_x @ logits.view(batch * cells[0], cells[1], queries)  # [B * h, W, Q]
    maps = resize_y @ maps.view(batch, cells[0], width * queries)  # [B, H, W * Q]
    maps = smooth(maps.view(-1, queries), *pamr_weights(images, PAMR_DILATIONS), PAMR_ITERATIONS)
    best, query = maps.max(dim=1)
    total = maps.sub_(best[:, None]).mul_(logit_scale).exp_().sum(dim=1)
    query = query.masked_fill(1 / total < threshold, 0)
    (h, w), (patch_h, patch_w) = cells, patch_size
    query = query.view(batch, height, width)[:, : h * patch_h, : w * patch_w]
    patches = query.reshape(batch, h, patch_h, w, patch_w).transpose(2, 3).reshape(batch * h * w, -1)
    count = torch.zeros(len(patches), queries, dtype=torch.int64, device=patches.device)
    count.scatter_add_(1, patches, torch.ones_like(patches))
    # Ties go to the smallest query on every device: argmax itself promises no order.
    order = torch.arange(queries, 0, -1, device=count.device) - 1
    return (count * queries + order).argmax(dim=1).view(batch, h * w)


def patch_affinity(labels: Tensor, cells: tuple[int, int], gaussian_std: float, line_of_sight: bool = True) -> Tensor:
    """How strongly patches belong together, by label and position.

    Patches of one label have affinity 1, weakened by the Chebyshev distance where they do not see each other; every row
    of that map is blurred and divided by its sum. As in the released code the blur runs along the flattened index: it
    leaks from the end of a row of patches into the next and does not act between rows otherwise.

    Args:
        labels: [B, h * w] int64.
        cells: (h, w), rows and columns of patches.
        gaussian_std: Standard deviation of the blur in patches.
        line_of_sight: Weaken ties of patches that do not see each other.

    Returns:
        [B, h * w, h * w] float32, non-negative, rows adding up to 1.
    """
    batch, patches = labels.shape
    affinity = (labels[:, :, None] == labels[:, None, :]).float()
    if line_of_sight:
        lines = lines_between_patches(*cells, labels.device)
        decay = torch.exp(-lines.distance / lines.distance.max().clamp(min=1))
        affinity = torch.where(in_sight(labels, lines), affinity, affinity * decay)
    size = min(patches, int(6 * gaussian_std + 1)) | 1  # odd
    x = torch.arange(size, dtype=torch.float32, device=labels.device) - size // 2
    kernel = torch.exp(-x.square() / (2 * gaussian_std**2))
    kernel /= kernel.sum()
    blurred = F.conv1d(affinity.view(-1, 1, patches), kernel[None, None], padding=size // 2)
    blurred = blurred.view(batch, patches, patches)
    return blurred / (blurred.sum(dim=-1, keepdim=True) + 1e-8)
