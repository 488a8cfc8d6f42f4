"""Mixing logits of near cells by the likeness of queries and keys: the one formula of learned upsamplers.

Every position of the finer grid has a query and every cell of the coarse one a key. A position's logits are the mean
over heads of softmax(factor * q . k), taken over the cells near its own, times these cells' logits. That is a convex
mix: constant logits stay constant, and no new kind of value comes up. Only queries, keys and which cells are near make
the difference between networks.

All positions of a cell have their candidates in common. So candidates' keys and logits are gathered once a cell, and
all is products of small matrices, in bands of rows whose size bounds memory.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Neighbours", "mixed_logits", "shifted_inwards", "window_of_share", "within_share"]

#: Numbers that a band of rows takes: 64 MiB of float32 on a CPU ...
CPU_BAND = 2**24
#: ... and 512 MiB on an accelerator.
ACCELERATOR_BAND = 2**27


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Along one axis, the cells that positions may mix.

    Attributes:
        candidates: [n, K] int64, for each of n groups of neighbouring positions the cells that any of them may mix.
        allowed: [n, s, K] bool, which of these each of the s positions of a group may; None for all.
    """

    candidates: Tensor
    allowed: Tensor | None = None


def shifted_inwards(cells: int, kernel: int, device: torch.device | None = None) -> Neighbours:
    """``kernel`` cells in a row around a position's own: at the border they are moved inwards, not cut.

    Args:
        cells: On the axis; where there are fewer than ``kernel``, all take part.
        kernel: At least 1; of an even number the larger half lies before the own cell.
        device: Of the result.
    """
    count = min(kernel, cells)
    first = (torch.arange(cells, device=device) - kernel // 2).clamp(0, cells - count)
    return Neighbours(first[:, None] + torch.arange(count, device=device))


def window_of_share(cells: int, positions: int, share: float) -> tuple[Tensor, Tensor]:
    """The cells that lie, wholly or in part, at most a share of the axis away from each position.

    Computed in float32 in the order of AnyUp's released code, whose rounding decides where a window ends on a border.

    Args:
        cells: On the axis.
        positions: On the axis, equally spaced.
        share: Of the axis on either side; 0 for all cells.

    Returns:
        The first cell and the end (exclusive) of each position's window, [positions] int64 on the CPU.
    """
    if share <= 0:
        return torch.zeros(positions, dtype=torch.int64), torch.full((positions,), cells)
    centres = (torch.arange(positions, dtype=torch.float32) + 0.5) / positions
    first = (cells * (centres - share).clamp(0, 1)).floor()
    return first.long(), (cells * (centres + share).clamp(0, 1)).ceil().long()


def within_share(cells: int, positions: int, share: float, device: torch.device | None = None) -> Neighbours:
    """The cells of :func:`window_of_share`; the candidates of a cell are those of all its positions.

    Args:
        cells: On the axis.
        positions: On the axis; where they are no multiple of the cells, each is a group by itself.
        share: Of the axis on either side; 0 for all cells.
        device: Of the result.
    """
    groups = cells if positions % cells == 0 else positions
    first, end = (one.view(groups, -1) for one in window_of_share(cells, positions, share))
    start = first.amin(dim=1)
    count = int((end.amax(dim=1) - start).max())
    candidates = start.clamp(max=cells - count)[:, None] + torch.arange(count)
    allowed = (candidates[:, None] >= first[..., None]) & (candidates[:, None] < end[..., None])
    return Neighbours(candidates.to(device), allowed.to(device))


def mixed_logits(
    queries: Tensor, keys: Tensor, logits: Tensor, rows: Neighbours, columns: Neighbours, factor: float
) -> Tensor:
    """Mix the logits of near cells at each position of a finer grid; float32 whatever autocast says around it.

    Args:
        queries: [B, heads, D, H, W] float32. H and W are the groups of ``rows`` and ``columns`` times whole numbers.
        keys: [B, heads, D, h, w] float32.
        logits: [B, Q, h, w] float32.
        rows: Which of the h rows of cells count for which of the H rows of positions.
        columns: The same for w and W.
        factor: On the products of queries and keys, before the softmax.

    Returns:
        [B, Q, H, W] float32; each value lies between the least and the largest of its sources.
    """
    batch, heads, depth, height, width = queries.shape
    down, across = height // len(rows.candidates), width // len(columns.candidates)
    near = rows.candidates.shape[1] * columns.candidates.shape[1]
    in_a_group = near * (heads * depth + 3 * heads * down * across + logits.shape[1]) + heads * depth * down * across
    budget = CPU_BAND if queries.device.type == "cpu" else ACCELERATOR_BAND
    step = max(1, budget // (batch * len(columns.candidates) * in_a_group))
    mixed = logits.new_empty(batch, logits.shape[1], height, width, dtype=torch.float32)
    with torch.autocast(queries.device.type, enabled=False):
        for start in range(0, len(rows.candidates), step):
            band = slice(start, start + step)
            some = Neighbours(rows.candidates[band], None if rows.allowed is None else rows.allowed[band])
            positions = slice(start * down, (start + step) * down)
            weights = _weights(queries[:, :, :, positions], keys, some, columns, factor)
            values = _gathered(logits.float(), some, columns).permute(0, 2, 3, 4, 1)  # [B, n, m, near, Q]
            result = (weights @ values).unflatten(3, (down, across)).permute(0, 5, 1, 3, 2, 4)
            mixed[:, :, positions] = result.flatten(4, 5).flatten(2, 3)
    return mixed


def _weights(queries: Tensor, keys: Tensor, rows: Neighbours, columns: Neighbours, factor: float) -> Tensor:
    """Weights [B, n, m, positions of a group, candidates] of a band, which add up to 1; the mean over the heads."""
    groups = len(rows.candidates), len(columns.candidates)
    of_groups = queries.unflatten(4, (groups[1], -1)).unflatten(3, (groups[0], -1))
    own = of_groups.permute(0, 1, 3, 5, 4, 6, 2).flatten(4, 5)  # [B, heads, n, m, positions, D]
    near = _gathered(keys.flatten(0, 1), rows, columns).unflatten(0, keys.shape[:2]).permute(0, 1, 3, 4, 2, 5)
    scores = (own @ near).mul_(factor)
    apart = scores.unflatten(5, (-1, columns.candidates.shape[1])).unflatten(4, (-1, of_groups.shape[6]))
    if rows.allowed is not None:
        apart.masked_fill_(~rows.allowed[:, None, :, None, :, None], -torch.inf)
    if columns.allowed is not None:
        apart.masked_fill_(~columns.allowed[:, None, :, None, :], -torch.inf)
    return scores.softmax(dim=-1).mean(dim=1)


def _gathered(maps: Tensor, rows: Neighbours, columns: Neighbours) -> Tensor:
    """The candidates of each group, [B, C, n, m, candidates], of maps [B, C, h, w]."""
    found = maps[:, :, rows.candidates[:, None, :, None], columns.candidates[None, :, None, :]]
    return found.flatten(4, 5)
