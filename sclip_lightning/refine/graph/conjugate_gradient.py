"""Conjugate gradients for many right-hand sides at once."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["conjugate_gradient"]

#: Numbers of a vector that are worked on together: what a step reads of four vectors stays in a CPU's cache ...
CPU_BLOCK = 2**16
#: ... and few kernels do for an accelerator.
ACCELERATOR_BLOCK = 2**26


def conjugate_gradient(
    operator: Callable[[Tensor], Tensor], columns: Tensor, steps: int, tolerance: float = 1e-6
) -> Tensor:
    """Go some steps towards the solution of A X = Y, starting at 0, without preconditioner.

    Every column has its own step sizes and its own end, as if it were alone: a column that has stopped stays as it is.
    Methods that use this stop long before they converge, so the number of steps is a part of their definition.

    Args:
        operator: A, symmetric and positive definite: takes [N, Q] and returns the product, [N, Q], which it may keep.
        columns: Y, [N, Q], float32 or float64; everything is computed in this dtype.
        steps: Most steps.
        tolerance: A column stops once its residual's norm is at most this share of its own norm.

    Returns:
        X, [N, Q]. A column of zeros gives zeros.
    """
    solution, residual, direction = torch.zeros_like(columns), columns.clone(), columns.clone()
    budget = CPU_BLOCK if columns.device.type == "cpu" else ACCELERATOR_BLOCK
    rows = max(budget // max(columns.shape[1], 1), 1)
    squares = first_squares = _dot(columns, columns, rows)
    moving = squares > 0
    for _ in range(steps):
        if not moving.any():
            break
        image = operator(direction)
        curvature = _dot(direction, image, rows)
        # Columns that stand still would give 0 / 0.
        size = torch.where(moving, squares / curvature.where(moving, 1), 0)
        sums = []
        for found, ahead, left, applied in _blocks(rows, solution, direction, residual, image):
            found.addcmul_(ahead, size)
            left.addcmul_(applied, size, value=-1)
            sums.append(left.square().sum(dim=0))
        previous, squares = squares, torch.stack(sums).sum(dim=0)
        moving = moving & (squares > tolerance**2 * first_squares)
        turn = torch.where(moving, squares / previous.where(moving, 1), 0)
        for ahead, left in _blocks(rows, direction, residual):
            torch.addcmul(left, ahead, turn, out=ahead)
    return solution


def _blocks(rows: int, *vectors: Tensor) -> "zip[tuple[Tensor, ...]]":
    return zip(*(vector.split(rows) for vector in vectors), strict=True)


def _dot(a: Tensor, b: Tensor, rows: int) -> Tensor:
    """[Q] inner products of columns, block by block."""
    return torch.stack([(x * y).sum(dim=0) for x, y in _blocks(rows, a, b)]).sum(dim=0)
