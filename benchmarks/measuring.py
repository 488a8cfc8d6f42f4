"""What the benchmark scripts share: the example, interleaved timing, peak memory and a line about the machine."""

import argparse
import ctypes
import gc
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import torch
import torch.nn.functional as F
from open_clip.model import CLIP

from sclip_lightning.decoding import LastBlock
from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import MapStep, SheetStep, Texts

#: Height and width of the example after resizing, where 15 windows of 224 lie at stride 112, and of its labels.
RESIZED, ORIGINAL = (448, 597), (480, 640)
CLASSES = 171


def parser(description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    return parser


def build_segmentor(
    model: CLIP,
    device: torch.device,
    decoder: LastBlock | None = None,
    upsampler: SheetStep | None = None,
    head: Head | None = None,
    refiners: Sequence[MapStep] = (),
    classes: int = CLASSES,
) -> SlidingWindowSegmentor:
    """A segmentor of made-up classes with SCLIP's attention; networks of the upsampler have random weights."""
    queries = F.normalize(torch.randn(classes, 512, generator=torch.Generator().manual_seed(0)), dim=-1)
    tower, steps = ClipTower(model.visual), [upsampler] if upsampler else []
    networks = {name: step.load_network(name, tower.text_width) for step in steps for name in step.networks}
    return SlidingWindowSegmentor(
        {"clip": tower, **networks},
        Texts(queries, torch.arange(classes)),
        decoder or LastBlock("sclip"),
        head or Head(40.0),
        sheet_steps=steps,
        map_steps=refiners,
    ).to(device)


class PeakMemory:
    """Context manager: how far memory rose above where it stood, in bytes.

    Tensors on a GPU; on the CPU the resident memory of the process, whose high-water mark Linux lets us reset.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            ctypes.CDLL(None).malloc_trim(0)  # what earlier calls have freed must not hide what this one takes
            Path("/proc/self/clear_refs").write_text("5")
            self._before = self._status("VmRSS")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            peak = torch.cuda.max_memory_allocated(self.device)
        else:
            peak = self._status("VmHWM")
        self.bytes = peak - self._before

    @staticmethod
    def _status(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def compare(calls: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> None:
    """Print time and peak memory of every call, the first being what the others are compared with.

    Times are medians of interleaved repeats in one process, because the speed of a machine drifts.
    """
    memory, seconds = {}, {name: [] for name in calls}
    for name, call in calls.items():
        call()
        with PeakMemory(device) as peak:
            call()
        memory[name] = peak.bytes
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - started)
    print(machine(device))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    base = next(iter(medians.values()))
    print(f"{'':28}{'seconds':>9}{'ratio':>8}{'peak beyond weights':>22}")
    for name, median in medians.items():
        print(f"{name:28}{median:9.4f}{median / base:8.3f}{memory[name] / 2**20:18.0f} MiB")


def machine(device: torch.device) -> str:
    """Device, threads and torch version."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    models = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return (
        f"{models[0] if models else platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
