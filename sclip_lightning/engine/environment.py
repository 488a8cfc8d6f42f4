"""What an evaluation ran on, and how much memory it took."""

import contextlib
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from sclip_lightning import __version__

__all__ = ["describe_environment", "peak_memory", "reset_peak_memory"]

_PACKAGES = (
    "torch",
    "lightning",
    "open_clip_torch",
    "torchmetrics",
    "albumentations",
    "opencv-python-headless",
    "numpy",
)


def describe_environment(device: torch.device) -> dict[str, str]:
    """Versions of what computes the numbers, and the name of the device."""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type
    versions = {name: version(name) for name in _PACKAGES}
    return {"sclip_lightning": __version__, "python": platform.python_version(), "device": accelerator} | versions


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
