"""Where a segmentor computes, and in which precision its networks do."""

from pathlib import Path
from typing import Literal, cast, get_args

import torch

from sclip_lightning.errors import ConfigError

__all__ = ["Precision", "PrecisionChoice", "autocast_type", "computes_bfloat16", "find_device", "resolve_precision"]

#: Precision of the networks, by Lightning's names; whatever follows them is float32 in any case.
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
#: What may be asked for: one of these, or what fits the hardware.
PrecisionChoice = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
#: Where Linux describes the CPU.
CPU_FILE = Path("/proc/cpuinfo")


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
    """What the networks compute in on a device, None for float32; raises ConfigError where they cannot."""
    types = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    if precision not in types:
        msg = f"There is no precision {precision!r} (--precision). Choose one of auto, {', '.join(types)}."
        raise ConfigError(msg)
    if precision == "16-mixed" and device.type == "cpu":
        msg = "Precision 16-mixed needs a GPU. Choose 32-true or bf16-mixed (--precision) for the CPU."
        raise ConfigError(msg)
    return types[precision]


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies matrices of bfloat16 itself; many only emulate it, which takes longer than float32.

    NVIDIA's GPUs do since Ampere, AMD's all that torch runs on; of CPUs those with AVX512-BF16 or AMX. Of Apple's GPUs
    nobody has measured it here: they are taken for ones that do not.
    """
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and any(_processor().get(name) for name in ("avx512_bf16", "amx_bf16"))


def _processor() -> dict[str, bool]:
    """What the CPU can do, as far as torch tells or, before torch 2.11, Linux does."""
    if hasattr(torch.cpu, "get_capabilities"):
        return dict(torch.cpu.get_capabilities())
    try:
        lines = CPU_FILE.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return {}
    return dict.fromkeys(next((line.split() for line in lines if line.startswith("flags")), []), True)


def resolve_precision(asked: str, device: torch.device, recorded: str | None = None) -> tuple[Precision, str]:
    """The precision to compute in.

    Args:
        asked: A precision, which is taken as it is, or ``auto``.
        device: Where it computes.
        recorded: What was begun here is in that precision; ``auto`` goes on with it, so that results stay of one kind.

    Returns:
        The precision, and a sentence that says why it is this one; no sentence where it was asked for.

    Raises:
        ConfigError: There is no such precision, or the device cannot compute in it.
    """
    if asked != "auto":
        autocast_type(cast(Precision, asked), device)
        return cast(Precision, asked), ""
    native, kind = computes_bfloat16(device), "CPU" if device.type == "cpu" else f"{device.type} device"
    found: Precision = "bf16-mixed" if native else "32-true"
    reason = f"this {kind} computes in bfloat16" if native else f"this {kind} does not compute in bfloat16"
    if recorded in get_args(Precision):
        try:
            autocast_type(cast(Precision, recorded), device)
        except ConfigError as error:
            msg = (
                f"What is to be gone on with was computed in {recorded}, which this {kind} cannot do. Go on where it "
                "was begun, or start anew: under another name, or with --overwrite."
            )
            raise ConfigError(msg) from error
        if recorded != found:
            slow = ", though slowly" if recorded == "bf16-mixed" else ""
            reason = f"what was begun goes on as it was; by itself this {kind} would take {found}{slow}"
        found = cast(Precision, recorded)
    return found, f"Precision: {found}, since {reason} (auto)."
