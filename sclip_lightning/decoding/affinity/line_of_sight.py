"""Which patches see each other through patches of their own label.

Semantic feedback weakens the tie between two patches of one label when the straight line between them leaves that
label. Where the line runs depends on the grid alone, so its patches are tabulated once per grid size; a label map then
takes one comparison per step.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sclip_lightning.windows.cache import KEPT

__all__ = ["Lines", "in_sight", "lines_between_patches"]


class Lines(NamedTuple):
    """Straight lines between all pairs of N patches.

    Attributes:
        distance: [N, N] float32, Chebyshev distance in patches.
        path: [steps, N, N] int32, the patch at each step of the line from row to column. Lines with fewer steps stay
            at their last one, which changes nothing about what they see.
    """

    distance: Tensor
    path: Tensor


@KEPT.keep
def lines_between_patches(rows: int, columns: int, device: torch.device) -> Lines:
    """Tabulate the lines of a grid.

    The authors sample every line at spacing 1/m of its length, m being the largest distance on the grid, but look only
    at as many samples as the two patches are apart: only a line of the largest distance is followed to its end. Their
    released code is the only source for this, so it is what is computed.

    Args:
        rows: Patches in a column of the grid.
        columns: Patches in a row of the grid.
        device: Where the table is needed.
    """
    patch = torch.arange(rows * columns)
    y, x = patch // columns, patch % columns
    distance = torch.maximum((y[:, None] - y).abs(), (x[:, None] - x).abs())
    largest = int(distance.max())
    path = torch.empty(largest + 1, rows * columns, rows * columns, dtype=torch.int32)
    for step, t in enumerate(torch.linspace(0, 1, largest + 1)):
        # In float32 and rounded half to even: the patches hit depend on both.
        at_y, at_x = ((c[:, None] * (1 - t) + c * t).round().int() for c in (y, x))
        path[step] = at_y * columns + at_x
        if step:
            path[step] = torch.where(step <= distance, path[step], path[step - 1])
    return Lines(distance.float().to(device), path.to(device))


def in_sight(labels: Tensor, lines: Lines) -> Tensor:
    """Which patches see which.

    Args:
        labels: [B, N] int64 patch labels.
        lines: The lines of the grid.

    Returns:
        [B, N, N] bool: every tested patch on the line from row to column has the row's label. Not symmetric.
    """
    visible = torch.ones(len(labels), *lines.distance.shape, dtype=torch.bool, device=labels.device)
    for patches in lines.path:
        visible &= labels[:, patches] == labels[:, :, None]
    return visible
