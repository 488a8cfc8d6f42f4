"""Whether an image fits into memory, said before anything of it is computed.

On Linux a process that takes more than there is gets killed without a word: hours of work may end at one photograph.
What the parts say they need is what they cannot do without, so an image that is refused could not have been segmented.
"""

from contextlib import suppress
from pathlib import Path

import torch

from sclip_lightning.data.reading.transforms import rescaled_size
from sclip_lightning.errors import DataError
from sclip_lightning.model.memory import memory_advice
from sclip_lightning.model.options import SegmentorOptions, parts_of
from sclip_lightning.model.refining import refined_size
from sclip_lightning.model.settings import Settings
from sclip_lightning.windows import Extent

__all__ = ["check_memory", "free_memory", "grows", "needed_memory"]

GIB = 2**30
#: Bytes that always have to be there: for less nobody is asked.
LITTLE = 2**30
#: Where Linux says how much memory there is, and how much a container may have and has.
MEMINFO, CONTAINER = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def check_memory(
    source: str,
    size: tuple[int, int],
    names: tuple[int, int],
    options: SegmentorOptions,
    settings: Settings,
    device: torch.device,
) -> None:
    """Refuse an image that there surely is too little memory for; costs next to nothing.

    Args:
        source: What to call the image.
        size: Its (H, W) in pixels.
        names: Number of names and number of classes.
        options: Those of the segmentor.
        settings: What they come to.
        device: Where it is segmented.

    Raises:
        DataError: There is too little; the message says what takes it, how much, how much is free, and what to do.
    """
    part, needed = needed_memory(size, names, settings)
    free = free_memory(device) if needed > LITTLE else None
    if free is not None and needed > free:
        where = "the machine" if device.type == "cpu" else "the GPU"
        msg = (
            f"{source} has {size[0]} x {size[1]} pixels (height x width): {part} needs at least {needed / GIB:.1f} GiB "
            f"for it with {names[0]} names of {names[1]} classes, but {where} has {free / GIB:.1f} GiB left. Leave "
            f"{part} out, or give fewer names. {memory_advice(options)}"
        )
        raise DataError(msg)


def grows(names: tuple[int, int], settings: Settings) -> bool:
    """Whether some part takes memory that grows with images and names: then sizes are worth looking up beforehand."""
    return needed_memory((1, 1), names, settings)[1] > 0


def needed_memory(size: tuple[int, int], names: tuple[int, int], settings: Settings) -> tuple[str, int]:
    """The part that needs most memory for an image, and how many bytes; arguments as of :func:`check_memory`."""
    protocol = settings.protocol
    network = rescaled_size(*size, protocol.short_side, protocol.long_side) if protocol.short_side else size
    window = tuple(min(protocol.crop or side, side) for side in network)
    refined = refined_size(size, settings.refine_side)
    pixels, network_pixels, window_pixels = (height * width for height, width in (refined, network, window))
    extent = Extent(*names, pixels, network_pixels, window_pixels)
    parts = [inner for part in settings.parts for inner in (part, *parts_of(part).values())]
    return max(((type(part).__name__, part.memory(extent)) for part in parts), key=lambda need: need[1])


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on a device, swap and caches included; None where nobody says so."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    if device.type != "cpu":
        return None
    free: list[int] = []
    with suppress(OSError, ValueError, KeyError):
        fields = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        free.append(sum(int(fields[name].split()[0]) * 1024 for name in ("MemAvailable", "SwapFree")))
    with suppress(OSError, ValueError, KeyError):  # "max", where a container is not bounded
        most = int((CONTAINER / "memory.max").read_text())
        cached = dict(line.split() for line in (CONTAINER / "memory.stat").read_text().splitlines())
        free.append(most - int((CONTAINER / "memory.current").read_text()) + int(cached["inactive_file"]))
    return min(free) if free else None
