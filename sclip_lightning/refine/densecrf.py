"""Fully connected CRF with Gaussian edge potentials, in plain torch on any device.

Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011, as the
library pydensecrf computes it: symmetric normalisation, Potts compatibility, and a pixel's message to itself kept.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import at_least, between
from sclip_lightning.refine.bilateral import bilateral
from sclip_lightning.refine.crf.features import CheckedWidths, Widths, image_features, pixel_features
from sclip_lightning.refine.crf.library_crf import MISSING, is_installed, library_crf
from sclip_lightning.refine.crf.permutohedral import PermutohedralLattice
from sclip_lightning.windows import Extent, MapStep, Scene
from sclip_lightning.windows.cache import KEPT

__all__ = ["DenseCRF", "contenders", "dense_crf", "gaussian_lattice"]

#: Probabilities are clipped to this from below, so that their logarithms are finite.
SMALLEST = 1e-5
#: Bytes of all classes' maps that are turned from [C, n] to [n, C] at once on the CPU: what fits into a core's cache.
TURNED = 2**21


@dataclass(frozen=True)
class DenseCRF(MapStep):
    """Refine class probabilities with a dense CRF; see :func:`dense_crf` for the parameters it shares.

    Args:
        iterations: Mean-field iterations.
        gaussian_sxy: Width of the smoothness kernel in pixels.
        gaussian_compat: Its weight.
        bilateral_sxy: Width of the appearance kernel in pixels ...
        bilateral_srgb: ... and in grey levels, 0..255.
        bilateral_compat: Its weight.
        prune: Classes at most this probable everywhere are lumped together; 0 or None lets every class take part.
        backend: ``torch``, or the library ``pydensecrf``, which prunes nothing; ``auto`` is ``torch``.
        fallback: ``bilateral`` filters the probabilities, with one warning, where pydensecrf is asked for but missing.

    Attributes:
        ran: What computes the result: ``torch``, ``pydensecrf`` or ``bilateral``.

    Raises:
        ConfigError: An unknown backend or fallback; pydensecrf is asked for, missing and without fallback.
    """

    works_on = "probabilities"

    iterations: Annotated[int, at_least(0, whole=True)] = 10
    gaussian_sxy: CheckedWidths = 3
    gaussian_compat: Annotated[float, at_least(0)] = 3
    bilateral_sxy: CheckedWidths = 80
    bilateral_srgb: CheckedWidths = 13
    bilateral_compat: Annotated[float, at_least(0)] = 10
    prune: Annotated[float, between(0, 1)] | None = 0.05
    backend: Literal["torch", "pydensecrf", "auto"] = "auto"
    fallback: Literal["bilateral"] | None = None
    ran: Literal["torch", "pydensecrf", "bilateral"] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend not in ("torch", "pydensecrf", "auto") or self.fallback not in ("bilateral", None):
            msg = (
                f"DenseCRF with backend {self.backend!r} and fallback {self.fallback!r}: the backend is torch, "
                "pydensecrf or auto, the fallback bilateral or null."
            )
            raise ConfigError(msg)
        ran: str = "torch" if self.backend == "auto" else self.backend
        if ran == "pydensecrf" and not is_installed():
            if self.fallback is None:
                raise ConfigError(MISSING)
            warnings.warn(f"{MISSING} Falling back to a bilateral filter, which is not a CRF.")
            ran = self.fallback
        object.__setattr__(self, "ran", ran)

    def __call__(self, maps: Tensor, scene: Scene) -> Tensor:
        """Refine [C, H, W] float32 probabilities by the image itself; returns [C, H, W] float32."""
        image = scene.image()
        if self.ran == "bilateral":
            return bilateral(maps, image)
        settings = (
            self.iterations,
            self.gaussian_sxy,
            self.gaussian_compat,
            self.bilateral_sxy,
            self.bilateral_srgb,
            self.bilateral_compat,
        )
        if self.ran == "pydensecrf":
            return library_crf(maps, image, *settings)
        return dense_crf(maps, image, *settings, self.prune)

    def memory(self, extent: Extent) -> int:
        """Probabilities and marginals of all classes; where some are lumped, the result stands for their share."""
        return extent.pixels * (2 * 4 * extent.classes + PermutohedralLattice.BYTES)


@torch.no_grad()
def dense_crf(
    probabilities: Tensor,
    image: Tensor,
    iterations: int = 10,
    gaussian_sxy: Widths = 3,
    gaussian_compat: float = 3,
    bilateral_sxy: Widths = 80,
    bilateral_srgb: Widths = 13,
    bilateral_compat: float = 10,
    prune: float | None = 0.05,
) -> Tensor:
    """Marginals of a dense CRF after some mean-field iterations.

    The unary energies are ``-log(clip(probabilities, 1e-5, 1))``: probabilities that do not add up to 1, as after a
    maximum over synonyms, are taken as they are. On the CPU the marginals agree with pydensecrf's to some 1e-6. On
    other devices, where the last digit of a coordinate may differ, they can differ by 1e-2 at fewer than 1 % of the
    pixels.

    Args:
        probabilities: [C, H, W] float32 in [0, 1].
        image: [3, H, W] uint8 RGB, on the same device.
        iterations: Mean-field iterations; 0 gives the normalised probabilities.
        gaussian_sxy: Standard deviation of the smoothness kernel in pixels, or [x, y].
        gaussian_compat: Weight of the smoothness kernel.
        bilateral_sxy: Standard deviation of the appearance kernel in pixels, or [x, y] ...
        bilateral_srgb: ... and in grey levels 0..255, or [r, g, b].
        bilateral_compat: Weight of the appearance kernel.
        prune: Classes that nowhere exceed this probability, nor a quarter of a pixel's best, do not win: they become
            one class without messages, whose marginal they share as they share its probability. 0 or None: every class
            takes part.

    Returns:
        [C, H, W] float32 marginals, adding up to 1 over the classes. Their memory layout may be channels-last.

    Raises:
        ConfigError: Kernel widths so small that the lattice cannot be numbered.
    """
    classes, height, width = probabilities.shape
    sxy = tuple(gaussian_sxy) if isinstance(gaussian_sxy, Sequence) else gaussian_sxy
    smoothness = gaussian_lattice(height, width, sxy, probabilities.device)
    appearance = PermutohedralLattice(image_features(image, bilateral_sxy, bilateral_srgb))
    kernels = [(smoothness, gaussian_compat), (appearance, bilateral_compat)]
    blocks, pieces = smoothness.blocks, _pieces(probabilities)

    probabilities = probabilities.float().flatten(1)
    contends = contenders(probabilities, prune or 0.0, blocks)
    kept, lumped = contends.nonzero().squeeze(1), (~contends).nonzero().squeeze(1)
    # One more for the lumped classes, and up to a multiple of 8, which fills the vector units.
    columns = -(-(len(kept) + min(len(lumped), 1)) // 8) * 8

    log_prob = probabilities.new_empty(height * width, columns)
    log_prob[:, len(kept) :] = -torch.inf
    rest = probabilities.new_empty(height * width)
    for piece in pieces:
        clipped = probabilities[:, piece].clamp(SMALLEST, 1)
        log_prob[piece, : len(kept)] = clipped[kept].log().T
        if len(lumped):
            rest[piece] = clipped[lumped].sum(dim=0)
            log_prob[piece, len(kept)] = rest[piece].log()

    marginals = _mean_field(log_prob, kernels, len(kept), iterations).T
    if not len(lumped):
        return marginals[:classes].unflatten(1, (height, width))
    share = marginals[len(kept)] / rest
    result = torch.empty_like(probabilities)
    for piece in pieces:
        torch.mul(probabilities[:, piece].clamp(SMALLEST, 1), share[piece], out=result[:, piece])
        result[kept, piece] = marginals[: len(kept), piece]
    return result.unflatten(1, (height, width))


def _pieces(probabilities: Tensor) -> list[slice]:
    """Parts of the pixels of [C, H, W] maps that are turned over one after the other; one part on an accelerator."""
    classes, pixels = len(probabilities), probabilities[0].numel()
    size = max(TURNED // (4 * classes), 64) if probabilities.device.type == "cpu" else pixels
    return [slice(start, min(start + size, pixels)) for start in range(0, pixels, size)]


def contenders(probabilities: Tensor, prune: float, blocks: list[slice]) -> Tensor:
    """[C] bool, the classes that can win: somewhere more probable than ``prune`` or a quarter of the best class."""
    contends = torch.zeros(len(probabilities), dtype=torch.bool, device=probabilities.device)
    for block in blocks:
        pixels = probabilities[:, block]
        contends |= (pixels >= (pixels.amax(dim=0) / 4).clamp(max=prune)).any(dim=1)
    return contends


def _mean_field(
    log_prob: Tensor, kernels: list[tuple[PermutohedralLattice, float]], contenders: int, iterations: int
) -> Tensor:
    """Turn [N, K] log-probabilities into marginals, in place; columns from ``contenders`` on send no messages."""
    blocks = kernels[0][0].blocks
    columns = log_prob.shape[1]
    # Both kernels' values lie in one table, so that one gather reads both.
    sizes = [lattice.size for lattice, _ in kernels]
    table = log_prob.new_zeros(sum(sizes), columns)
    parts, spares = table.split(sizes), torch.empty_like(table).split(sizes)
    sums = [log_prob.new_empty(lattice.splat_rows, columns) for lattice, _ in kernels]
    starts = [0, *accumulate(sizes)]
    vertices = torch.cat([lattice.vertices + start for (lattice, _), start in zip(kernels, starts, strict=False)], 1)
    weights = torch.cat([lattice.weights * compat for lattice, compat in kernels], dim=1)

    def marginals(block: slice) -> Tensor:
        messages = F.embedding_bag(vertices[block], table, mode="sum", per_sample_weights=weights[block])
        return messages.add_(log_prob[block]).softmax(dim=1)

    for _ in range(iterations):
        for i, block in enumerate(blocks):
            sent = marginals(block)
            sent[:, contenders:] = 0
            for (lattice, _), s in zip(kernels, sums, strict=True):
                lattice.splat(i, sent, s)
        for (lattice, _), *buffers in zip(kernels, sums, parts, spares, strict=True):
            lattice.blur(*buffers)
    for block in blocks:
        log_prob[block] = marginals(block)
    return log_prob


@KEPT.keep
def gaussian_lattice(height: int, width: int, sxy: Widths, device: torch.device) -> PermutohedralLattice:
    """The lattice of the smoothness kernel, kept per size; arguments as ``pixel_features``."""
    return PermutohedralLattice(pixel_features(height, width, sxy, device))
