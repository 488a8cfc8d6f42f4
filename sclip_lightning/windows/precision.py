"""Float32 that is float32: tensor cores' shorter TF32 switched off for as long as something is computed.

On NVIDIA GPUs since Ampere, cuDNN's convolutions keep 10 of 23 bits of the mantissa by default (TF32), and so do matrix
products where a user has allowed it; oneDNN can do the like on CPUs. Discrete choices made of such numbers, arg-max and
nearest neighbours, come out otherwise than on a CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["full_float32"]


def _switches() -> list[tuple[Any, str, Any]]:
    """Object, attribute and value of every switch that this torch has."""
    backends: Any = torch.backends
    if not hasattr(backends.cuda.matmul, "fp32_precision"):  # before torch 2.9
        return [(backends.cuda.matmul, "allow_tf32", False), (backends.cudnn, "allow_tf32", False)]
    # The older names would leave those of cuDNN to a general setting above them, which may be TF32.
    units = (
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.cudnn.rnn,
        backends.mkldnn.matmul,
        backends.mkldnn.conv,
    )
    return [(unit, "fp32_precision", "ieee") for unit in units]


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute float32 in all its bits within, whatever is switched on around it; what was on is on again after."""
    switches = _switches()
    before = [getattr(thing, name) for thing, name, _ in switches]
    try:
        for thing, name, value in switches:
            setattr(thing, name, value)
        yield
    finally:
        for (thing, name, _), value in zip(switches, before, strict=True):
            setattr(thing, name, value)
