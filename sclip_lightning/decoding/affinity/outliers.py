"""Patches that lie apart from all others, and their repair from those around them (SC-CLIP's first stage)."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["outlier_scores", "outliers", "repaired"]


def outliers(x: Tensor, neighbours: int = 30, share: float = 0.05) -> Tensor:
    """Patches that lie apart from the others.

    Args:
        x: [B, N, D] float32.
        neighbours: How many of a patch's nearest others it is compared with; fewer where there are fewer.
        share: Scores above this upper quantile are outliers.

    Returns:
        [B, N] bool; none where fewer than three patches are there or all scores are equal.
    """
    if x.shape[1] < 3:
        return x.new_zeros(x.shape[:2], dtype=torch.bool)
    scores = outlier_scores(x, neighbours)
    return scores > scores.quantile(1 - share, dim=1, keepdim=True)


def outlier_scores(x: Tensor, neighbours: int = 30) -> Tensor:
    """How far patches [B, N, D] lie apart, N at least 2; [B, N].

    A local outlier factor on squared distances, as the released code has it.
    """
    number = x.shape[1]
    # Differences from the mean: the product form of the distance loses fewer digits.
    x = x - x.mean(dim=1, keepdim=True)
    squares = x.square().sum(dim=-1)
    distance = (squares[:, :, None] + squares[:, None] - 2 * x @ x.mT).clamp_(min=0)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest, index = distance.topk(min(neighbours, number - 1), dim=-1, largest=False)
    reach = nearest[..., -1]
    others = reach[:, None].expand(-1, number, -1).gather(2, index)
    ratio = torch.where(others > 0, reach[..., None] / others, torch.where(reach[..., None] > 0, torch.inf, 1.0))
    return ratio.mean(dim=-1)


def repaired(x: Tensor, wrong: Tensor, grid: tuple[int, int]) -> Tensor:
    """Replace patches by the mean of those around them that are not replaced themselves; those without any stay.

    Args:
        x: [B, N, D] float32 patches row by row.
        wrong: [B, N] bool, those to replace.
        grid: (rows, columns), N their product.

    Returns:
        [B, N, D] float32.
    """
    right = (~wrong)[..., None].float()
    maps = torch.cat([x * right, right], dim=-1).mT.unflatten(2, grid)
    sums = (F.avg_pool2d(maps, 3, stride=1, padding=1, divisor_override=1)).flatten(2).mT
    around, count = sums[..., :-1], sums[..., -1:]
    return torch.where(wrong[..., None] & (count > 0), around / count.clamp(min=1), x)
