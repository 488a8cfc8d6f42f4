"""The graph of an image's patches: edges to the most similar ones, lighter with distance.

Stojnić, Kalantidis, Matas, Tolias, "LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic
Segmentation", CVPR 2025, arXiv 2503.19777; constants and rounding as in vladan-stojnic/LPOSS at e489a74.
"""

import torch
from torch import Tensor

from sclip_lightning.refine.graph.weighted_graph import WeightedGraph
from sclip_lightning.windows.grid import WindowGrid

__all__ = ["cell_centres", "nearest_neighbours", "patch_graph"]

#: Similarities held at once: 16 MiB of float32 on the CPU ...
CPU_BLOCK = 2**22
#: ... and 256 MiB on an accelerator. All of them together are N x N.
ACCELERATOR_BLOCK = 2**26


def cell_centres(grid: WindowGrid, cells: tuple[int, int], size: tuple[float, float] | None = None) -> Tensor:
    """Where the cells of all windows lie in the image.

    Args:
        grid: Where the windows lie.
        cells: (r, c), rows and columns of cells per window.
        size: Sides of a cell in pixels; by default those of a window, margins included, divided by the number of cells.

    Returns:
        [len(grid) * r * c, 2] float32, (y, x) in pixels, window by window and row by row.
    """
    axes = []
    size = size or (grid.padded_size[0] / cells[0], grid.padded_size[1] / cells[1])
    for starts, side, count, margin in zip((grid.tops, grid.lefts), size, cells, grid.margins, strict=True):
        inside = (torch.arange(count) + 0.5) * side - margin[0]
        axes.append(torch.tensor(starts, dtype=torch.float32)[:, None] + inside)
    rows, columns = axes  # [tops, r] and [lefts, c]
    shape = (len(grid.tops), len(grid.lefts), *cells)
    y = rows[:, None, :, None].expand(shape)
    x = columns[None, :, None, :].expand(shape)
    return torch.stack([y, x], dim=-1).flatten(0, 3)


def nearest_neighbours(features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """For every row the rows with the largest inner product, itself included.

    Args:
        features: [N, D] float32.
        k: How many; at most N are there.

    Returns:
        Inner products [N, min(k, N)] float32 and rows [N, min(k, N)] int64, in no particular order. Which of equally
        similar rows are taken is not defined, but is the same in every run.
    """
    budget = CPU_BLOCK if features.device.type == "cpu" else ACCELERATOR_BLOCK
    # Neighbours are discrete and the k-th is often only 1e-6 nearer than the next: these products have to be full
    # float32. Lower autocast dtypes are switched off by the caller; TF32 is off by default and must stay off
    # (torch.set_float32_matmul_precision("highest")).
    found = [
        (block @ features.T).topk(min(k, len(features)), dim=1, sorted=False)
        for block in features.split(max(budget // len(features), 1))
    ]
    return torch.cat([values for values, _ in found]), torch.cat([rows for _, rows in found])


def patch_graph(
    features: Tensor, centres: Tensor, k: int, gamma: float, sigma: float, power: float = 1.0
) -> WeightedGraph:
    """Join every patch to those of the most similar features.

    Edge weights are ``max(f_i . f_j, 0)^gamma * exp(-sigma * |p_i - p_j|^power)``; the weights of both directions are
    added, and a patch is not joined to itself.

    Args:
        features: f, [N, D] float32, L2-normalised.
        centres: p, [N, 2] float32, (y, x) in pixels, on the same device.
        k: Patches that each one chooses, itself included.
        gamma: Exponent of the similarity, above 0.
        sigma: Decay per pixel of distance, at least 0.
        power: Of the distance in the decay, above 0.

    Returns:
        N nodes, symmetric, float32 weights, not normalised. A patch without any positive similarity may have no edges.
    """
    similarities, targets = nearest_neighbours(features, k)
    sources = torch.arange(len(features), device=features.device)[:, None].expand_as(targets)
    # Opposite features are exact zeros: no edges.
    used = (similarities > 0) & (sources != targets)
    similarities, sources, targets = similarities[used], sources[used], targets[used]
    # By differences of the pairs that are there: no N x N, and none of the rounding of the matrix-product form.
    distances = (centres[sources] - centres[targets]).square().sum(dim=1).sqrt().pow(power)
    weights = similarities.pow(gamma) * torch.exp(-sigma * distances)
    return WeightedGraph.symmetric(sources, targets, weights, len(features))
