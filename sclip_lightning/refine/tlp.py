"""Propagation of merged logits over a coarse grid of the image, stopped by its edges (PEARL's TLP).

Pei et al., "PEARL: Geometry Aligns Semantics for Training-Free Open-Vocabulary Semantic Segmentation", CVPR 2026, arXiv
2603.21528, "text-aware Laplacian propagation"; what is computed follows the released code (PGSmall/PEARL at c26062b).
The texts hardly take part: probabilities without a temperature are nearly uniform, so what they weigh cancels between
the two sides of the system. In effect this is an edge-aware smoothing with a reach of some twenty cells.

Pooling and resizing are linear and separable like the merge, so windows are merged straight onto the coarse grid: maps
of all queries at the image's size never exist.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.ranges import at_least
from sclip_lightning.windows import Scene, Sheet, SheetStep, WindowGrid
from sclip_lightning.windows.merge import merge_operators

__all__ = ["TLP", "coarse_logits", "pooling_strides", "propagated", "system_weights", "text_gain"]

#: Constants of the released code: temperature of the texts' likeness, what is added to and divides its diagonal, least
#: confidence, decay of edges, and what keeps divisions finite.
TEXT_TEMPERATURE, TEXT_SHIFT, TEXT_SCALE = 0.5, 10.0, 11.0
LEAST_CONFIDENCE, EDGE_DECAY, SMALLEST, SMALLEST_SQUARE = 0.05, 5.0, 1e-6, 1e-12
#: Float64 numbers of a map in a block of queries on a CPU: 512 KiB, so that the four maps of a step stay in its
#: second-level cache.
BLOCK = 2**16
#: Weights of red, green and blue in a grey value.
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class TLP(SheetStep):
    """Smooths logits along the image's edges on a coarse grid (Pei et al., PEARL, CVPR 2026, arXiv 2603.21528).

    Goes with any decoder. The system is solved in float64: in float32 rounding grows to 1e-3 and more within its steps.

    Args:
        grid: Cells that each side of the image is pooled to, roughly; at least 1, null takes what is published for the
            benchmark (80; 224 for Cityscapes).
        steps: Conjugate-gradient steps from the logits on (25). They do not converge: their number belongs to the
            method.
        texts: Let texts weigh edges and confidence; false leaves them out, which hardly changes anything.
    """

    grid: Annotated[int, at_least(1, whole=True)] | None = None
    steps: Annotated[int, at_least(0, whole=True)] = 25
    texts: bool = True

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Smooth [W, r, c, Q] logits; returns [1, h, w, Q], one window that is the image."""
        assert self.grid is not None
        strides = pooling_strides(scene.output_size, self.grid)
        with torch.autocast(sheet.logits.device.type, enabled=False):
            logits = coarse_logits(sheet, scene.output_size, strides)
            guide = F.avg_pool2d(scene.resized_pixels(scene.output_size)[None], strides, strides)[0]
            smooth = propagated(logits, guide, scene.texts.queries if self.texts else None, self.steps)
        size = (smooth.shape[1], smooth.shape[2])
        return Sheet(smooth.permute(1, 2, 0)[None], WindowGrid(size, size, (0,), (0,)))


def pooling_strides(size: tuple[int, int], grid: int) -> tuple[int, int]:
    """Sides of a cell of the coarse grid in pixels, halves rounded to even as the released code does."""
    return max(1, round(size[0] / grid)), max(1, round(size[1] / grid))


def coarse_logits(sheet: Sheet, size: tuple[int, int], strides: tuple[int, int]) -> Tensor:
    """Merge windows and average over cells of the output in one product per axis.

    Args:
        sheet: [W, r, c, Q] logits.
        size: (H, W) of the output in pixels.
        strides: Sides of a cell; the remainder of the output below and on the right is left out.

    Returns:
        [Q, H // strides[0], W // strides[1]] float32.
    """
    _, rows, columns, queries = sheet.logits.shape
    operators = merge_operators(sheet.grid, (rows, columns), size, sheet.logits.device)
    down, across = (
        operator[: len(operator) // stride * stride].unflatten(0, (-1, stride)).mean(dim=1)
        for operator, stride in zip(operators, strides, strict=True)
    )
    windows = sheet.logits.view(len(sheet.grid.tops), len(sheet.grid.lefts), rows, columns, queries)
    flat = windows.permute(4, 0, 2, 1, 3).reshape(queries, down.shape[1], across.shape[1])
    return down @ flat @ across.T


def propagated(logits: Tensor, guide: Tensor, texts: Tensor | None, steps: int = 25) -> Tensor:
    """Go some conjugate-gradient steps, from the logits on, towards ``(diag(rho) + Laplacian) F = rho * logits``.

    Args:
        logits: [Q, h, w] float32, cosines.
        guide: [3, h, w] float32, the normalised image.
        texts: [Q, E] float32, L2-normalised; None leaves them out.
        steps: Number of steps.

    Returns:
        [Q, h, w] float32.
    """
    trust, right, down = (weight.double() for weight in system_weights(logits, guide, texts))
    degree = trust + F.pad(right, (0, 1)) + F.pad(right, (1, 0)) + F.pad(down, (0, 0, 0, 1)) + F.pad(down, (0, 0, 1, 0))
    # One step size for all queries together, and denominators kept from 0: another iteration than that of LPOSS. Some
    # queries at a time, so that a CPU's cache holds what a step reads several times; in place, for the same reason.
    blocks = logits.split(max(BLOCK // max(logits[0].numel(), 1), 1) if logits.device.type == "cpu" else len(logits))
    solution = [block.double() for block in blocks]
    image = [torch.empty_like(block) for block in solution]

    def apply_system(values: list[Tensor]) -> None:
        """Put (diag(rho) + Laplacian) F, as sums over neighbours, into ``image``."""
        for result, value in zip(image, values, strict=True):
            torch.mul(degree, value, out=result)
            result[:, :, :-1].addcmul_(right, value[:, :, 1:], value=-1)
            result[:, :, 1:].addcmul_(right, value[:, :, :-1], value=-1)
            result[:, :-1].addcmul_(down, value[:, 1:], value=-1)
            result[:, 1:].addcmul_(down, value[:, :-1], value=-1)

    apply_system(solution)
    residual = [trust * start - applied for start, applied in zip(solution, image, strict=True)]
    direction = [block.clone() for block in residual]
    squares = _dot(residual, residual)
    for _ in range(steps):
        apply_system(direction)
        size = squares / (_dot(direction, image) + SMALLEST_SQUARE)
        for found, ahead, left, applied in zip(solution, direction, residual, image, strict=True):
            found.addcmul_(ahead, size)
            left.addcmul_(applied, size, value=-1)
        previous, squares = squares, _dot(residual, residual)
        turn = squares / (previous + SMALLEST_SQUARE)
        for ahead, left in zip(direction, residual, strict=True):
            ahead.mul_(turn).add_(left)
    return torch.cat(solution).float()


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Inner product over all blocks."""
    return torch.stack([torch.dot(x.flatten(), y.flatten()) for x, y in zip(a, b, strict=True)]).sum()


def system_weights(logits: Tensor, guide: Tensor, texts: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """What the system is made of.

    Args:
        logits: [Q, h, w] float32, cosines.
        guide: [3, h, w] float32, the normalised image.
        texts: [Q, E] float32, L2-normalised; None leaves them out.

    Returns:
        rho [h, w], how far each cell's own logits are trusted, and the weights in [0, 1] of the edges to its right
        [h, w - 1] and lower neighbours [h - 1, w]; float32.
    """
    probabilities = logits.softmax(dim=0)
    gain = logits.new_zeros(len(logits)) if texts is None else text_gain(texts)
    agreement = (gain[:, None, None] * probabilities.square()).sum(dim=0).clamp(0, 1)
    trust = probabilities.amax(dim=0).clamp(min=LEAST_CONFIDENCE).square() * (1 + agreement)
    grey = (guide * guide.new_tensor(GREY)[:, None, None]).sum(dim=0)
    right = _edges(grey, probabilities, gain)
    return trust, right, _edges(grey.T, probabilities.mT, gain).T


def text_gain(texts: Tensor) -> Tensor:
    """[Q], by how much each query's agreement counts: the diagonal of the texts' likeness, shifted and scaled."""
    likeness = (texts @ texts.T / TEXT_TEMPERATURE).softmax(dim=1).diagonal()
    return (likeness + TEXT_SHIFT) / (TEXT_SCALE + SMALLEST)


def _edges(grey: Tensor, probabilities: Tensor, gain: Tensor) -> Tensor:
    """[h, w - 1] weights in [0, 1] between horizontal neighbours of grey values [h, w]."""
    steps = (grey[:, 1:] - grey[:, :-1]).abs()
    steps = steps / (steps.mean() + SMALLEST) if steps.numel() else steps
    together = (gain[:, None, None] * probabilities[:, :, 1:] * probabilities[:, :, :-1]).sum(dim=0).clamp(0, 1)
    return (torch.exp(-EDGE_DECAY * steps) * (1 + together)).clamp(0, 1)
