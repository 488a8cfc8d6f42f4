"""Where a computation would wait for a GPU, found without one: calls whose result the host must see."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sclip_lightning

_PACKAGE = str(Path(sclip_lightning.__file__).parent)

#: Operators whose result is a number for Python, or a tensor whose size depends on numbers.
_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim", "unique_consecutive")


class Waits(TorchDispatchMode):
    """Counts, within, what makes the host wait, by the line of the package that calls it.

    Args:
        device: Where the computation runs.

    Attributes:
        calls: How often, by file, line and operator.

    On the CPU these are reads of single values (``item``, ``bool``) and sizes that depend on values (``nonzero``,
    ``unique``, boolean indices), those of tables that lie on the CPU in any case included. On a GPU copies between the
    two are counted as well, and what concerns the CPU alone is not.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and count it if it waits."""
        name = func.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        waits = name in _WAITING or any(one is not None and one.dtype == torch.bool for one in indices)
        result = func(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            waits = result.device.type != source.device.type and not (kwargs or {}).get("non_blocking")
        elif self.device.type == "cuda":
            waits &= args[0].device.type == "cuda"
        if waits:
            self.calls[f"{_caller()} {name}"] += 1
        return result


def _caller() -> str:
    frame = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "?" if frame is None else f"{Path(frame.f_code.co_filename).relative_to(_PACKAGE)}:{frame.f_lineno}"
