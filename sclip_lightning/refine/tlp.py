"""Propagation of merged logits over a coarse grid of the image, stopped by its edges (PEARL's TLP).

Pei et al., "PEARL: Geometry Aligns Semantics for Training-Free Open-Vocabulary Semantic Segmentation", CVPR 2026, arXiv
2603.21528, "text-aware Laplacian propagation"; what is computed follows the released code (PGSmall/PEARL at c26062b).
The texts hardly take part: probabilities without a temperature are nearly uniform, so what they weigh cancels between
the two sides of the system. In effect this is an edge-aware smoothing with a reach of some twenty cells.

Pooling and resizing are linear and separable like the merge, so windows are merged straight onto the coarse grid: maps
of all queries at the image's size never exist.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.windows import Scene, Sheet, SheetStep, WindowGrid
from sclip_lightning.windows.merge import merge_operators

__all__ = ["TLP", "coarse_logits", "pooling_strides", "propagated"]

#: Constants of the released code: temperature of the texts' likeness, what is added to and divides its diagonal, least
#: confidence, decay of edges, and what keeps divisions finite.
TEXT_TEMPERATURE, TEXT_SHIFT, TEXT_SCALE = 0.5, 10.0, 11.0
LEAST_CONFIDENCE, EDGE_DECAY, SMALLEST, SMALLEST_SQUARE = 0.05, 5.0, 1e-6, 1e-12
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

    Raises:
        ConfigError: A number is out of range.
    """

    grid: int | None = None
    steps: int = 25

    def __post_init__(self) -> None:
        if (self.grid is not None and self.grid < 1) or self.steps < 0:
            msg = (
                f"--model.refiners: TLP with grid {self.grid} and {self.steps} steps: the grid must be at least 1, the "
                "steps at least 0 (published: 80, or 224 for Cityscapes, and 25)."
            )
            raise ConfigError(msg)

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Smooth [W, r, c, Q] logits; returns [1, h, w, Q], one window that is the image."""
        assert self.grid is not None
        strides = pooling_strides(scene.output_size, self.grid)
        with torch.autocast(sheet.logits.device.type, enabled=False):
            logits = coarse_logits(sheet, scene.output_size, strides)
            guide = F.avg_pool2d(scene.resized_pixels(scene.output_size)[None], strides, strides)[0]
            smooth = propagated(logits, guide, scene.texts.queries, self.steps)
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
    operators = merge_operators(sheet.grid, (rows, columns), size)
    down, across = (
        operator[: len(operator) // stride * stride].unflatten(0, (-1, stride)).mean(dim=1).to(sheet.logits.device)
        for operator, stride in zip(operators, strides, strict=True)
    )
    windows = sheet.logits.view(len(sheet.grid.tops), len(sheet.grid.lefts), rows, columns, queries)
    flat = windows.permute(4, 0, 2, 1, 3).reshape(queries, down.shape[1], across.shape[1])
    return down @ flat @ across.T


def propagated(logits: Tensor, guide: Tensor, texts: Tensor, steps: int = 25) -> Tensor:
    """Go some conjugate-gradient steps, from the logits on, towards ``(diag(rho) + Laplacian) F = rho * logits``.

    Args:
        logits: [Q, h, w] float32, cosines.
        guide: [3, h, w] float32, the normalised image.
        texts: [Q, E] float32, L2-normalised.
        steps: Number of steps.

    Returns:
        [Q, h, w] float32.
    """
    likeness = (texts @ texts.T / TEXT_TEMPERATURE).softmax(dim=1).diagonal()
    gain = ((likeness + TEXT_SHIFT) / (TEXT_SCALE + SMALLEST))[:, None, None]
    probabilities = logits.softmax(dim=0)
    agreement = (gain * probabilities.square()).sum(dim=0).clamp(0, 1)
    trust = (probabilities.amax(dim=0).clamp(min=LEAST_CONFIDENCE).square() * (1 + agreement)).double()
    grey = (guide * guide.new_tensor(GREY)[:, None, None]).sum(dim=0)
    right = _edges(grey, probabilities, gain)
    down = _edges(grey.T, probabilities.mT, gain).T
    degree = trust + F.pad(right, (0, 1)) + F.pad(right, (1, 0)) + F.pad(down, (0, 0, 0, 1)) + F.pad(down, (0, 0, 1, 0))

    def system(values: Tensor) -> Tensor:
        """(diag(rho) + Laplacian) F as sums over neighbours."""
        result = degree * values
        result[:, :, :-1] -= right * values[:, :, 1:]
        result[:, :, 1:] -= right * values[:, :, :-1]
        result[:, :-1] -= down * values[:, 1:]
        result[:, 1:] -= down * values[:, :-1]
        return result

    # One step size for all queries together, and denominators kept from 0: another iteration than that of LPOSS.
    solution = logits.double()
    residual = trust * solution - system(solution)
    direction, squares = residual, residual.square().sum()
    for _ in range(steps):
        image = system(direction)
        size = squares / ((direction * image).sum() + SMALLEST_SQUARE)
        solution = solution + size * direction
        residual = residual - size * image
        previous, squares = squares, residual.square().sum()
        direction = residual + squares / (previous + SMALLEST_SQUARE) * direction
    return solution.float()


def _edges(grey: Tensor, probabilities: Tensor, gain: Tensor) -> Tensor:
    """[h, w - 1] float64 weights in [0, 1] between horizontal neighbours of grey values [h, w]."""
    steps = (grey[:, 1:] - grey[:, :-1]).abs()
    steps = steps / (steps.mean() + SMALLEST) if steps.numel() else steps
    together = (gain * probabilities[:, :, 1:] * probabilities[:, :, :-1]).sum(dim=0).clamp(0, 1)
    return (torch.exp(-EDGE_DECAY * steps) * (1 + together)).clamp(0, 1).double()
