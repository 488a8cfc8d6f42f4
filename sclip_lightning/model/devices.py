"""Where a segmentor computes, and in which precision its vision tower does."""

from typing import Literal

import torch

from sclip_lightning.errors import ConfigError

__all__ = ["Precision", "autocast_type", "find_device"]

#: Precision of the vision tower, by Lightning's names; whatever follows it is float32 in any case.
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def find_device(device: str | torch.device) -> torch.device:
    """The device meant, after making sure that tensors can be put there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"The device {str(device)!r} (--device) cannot be used: {reason}. Choose auto, cpu or cuda."
        raise ConfigError(msg) from error
    return found


def autocast_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """What the vision tower computes in on a device, None for float32; raises ConfigError where it cannot."""
    types = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    if precision not in types:
        msg = f"There is no precision {precision!r} (--precision). Choose one of {', '.join(types)}."
        raise ConfigError(msg)
    if precision == "16-mixed" and device.type == "cpu":
        msg = "Precision 16-mixed needs a GPU. Choose 32-true or bf16-mixed (--precision) for the CPU."
        raise ConfigError(msg)
    return types[precision]
