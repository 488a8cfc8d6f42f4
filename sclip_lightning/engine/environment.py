"""What an evaluation ran on, and how much memory it took."""

import contextlib
import platform
import sys
from pathlib import Path

import torch

from sclip_lightning import __version__

__all__ = ["counting_device", "describe_environment", "peak_memory", "reset_peak_memory"]

#: What computes the numbers, by the names under which it is imported. Distributions have others, and several of them
#: may bring one: opencv-python, opencv-python-headless and conda's all bring cv2.
_MODULES = ("torch", "lightning", "open_clip", "torchmetrics", "albumentations", "cv2", "numpy")


def describe_environment(device: torch.device) -> dict[str, str]:
    """Versions of what computes the numbers, as far as this process uses it, and the name of the device."""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type
    used = [(name, sys.modules[name]) for name in _MODULES if name in sys.modules]
    versions = {name: str(getattr(module, "__version__", "unknown")) for name, module in used}
    return {"sclip_lightning": __version__, "python": platform.python_version(), "device": accelerator} | versions


def counting_device(device: torch.device) -> torch.device:
    """Where to count what was computed on a device: there, but on the CPU for Apple's GPUs, which lack float64."""
    return torch.device("cpu") if device.type == "mps" else device


def reset_peak_memory(device: torch.device) -> None:
    """Forget earlier peaks, where the system can: on GPUs and on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # see proc(5)


def peak_memory(device: torch.device) -> int:
    """Most memory so far, in bytes: of tensors on a GPU, of the whole process otherwise (0 where that is unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource  # exists on Unix only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB
