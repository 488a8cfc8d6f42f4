"""Conjugate gradients for many right-hand sides at once."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["conjugate_gradient"]


def conjugate_gradient(
    operator: Callable[[Tensor], Tensor], columns: Tensor, steps: int, tolerance: float = 1e-6
) -> Tensor:
    """Go some steps towards the solution of A X = Y, starting at 0, without preconditioner.

    Every column has its own step sizes and its own end, as if it were alone: a column that has stopped stays as it is.
    Methods that use this stop long before they converge, so the number of steps is a part of their definition.

    Args:
        operator: A, symmetric and positive definite: takes [N, Q] and returns the product, [N, Q].
        columns: Y, [N, Q], float32 or float64; everything is computed in this dtype.
        steps: Most steps.
        tolerance: A column stops once its residual's norm is at most this share of its own norm.

    Returns:
        X, [N, Q]. A column of zeros gives zeros.
    """
    solution = torch.zeros_like(columns)
    residual = direction = columns
    squares = first_squares = columns.square().sum(dim=0)
    moving = squares > 0
    for _ in range(steps):
        if not moving.any():
            break
        image = operator(direction)
        curvature = (direction * image).sum(dim=0)
        # Columns that stand still would give 0 / 0.
        size = torch.where(moving, squares / curvature.where(moving, 1), 0)
        solution = solution + size * direction
        residual = residual - size * image
        previous, squares = squares, residual.square().sum(dim=0)
        moving = moving & (squares > tolerance**2 * first_squares)
        direction = residual + torch.where(moving, squares / previous.where(moving, 1), 0) * direction
    return solution
