"""Running out of memory over one image, told from errors that concern all of them; and what bounds the memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sclip_lightning.errors import DataError
from sclip_lightning.model.options import SegmentorOptions

__all__ = ["memory_advice", "memory_for", "without_memory"]

#: How torch's allocators, and CUDA's libraries, say that there is no memory left, where no class of error says so.
_ON_CPU = ("DefaultCPUAllocator", "not enough memory")
_ON_GPU = ("CUDA out of memory", "CUDA error: out of memory", "ALLOC_FAILED")


@contextmanager
def memory_for(source: str, size: tuple[int, int], options: SegmentorOptions) -> Iterator[None]:
    """Turn running out of memory, on the GPU or outside of it, into a DataError of the image that was worked on.

    Args:
        source: What to call the image.
        size: Its (H, W) in pixels.
        options: Those of the segmentor, which say what takes the memory.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        where = without_memory(error)
        if where is None:
            raise
        msg = (
            f"{source} has {size[0]} x {size[1]} pixels (height x width), and {where} has too little memory left for "
            f"it. {memory_advice(options)}"
        )
        raise DataError(msg) from error


def without_memory(error: BaseException) -> str | None:
    """What has no memory left, ``the GPU`` or ``the machine``; None if it is another error."""
    text = str(error) if isinstance(error, RuntimeError) else ""
    if isinstance(error, torch.OutOfMemoryError) or any(words in text for words in _ON_GPU):
        return "the GPU"
    return "the machine" if isinstance(error, MemoryError) or any(words in text for words in _ON_CPU) else None


def memory_advice(options: SegmentorOptions) -> str:
    """What takes the memory and what bounds it, most first."""
    advice = []
    on_maps = [type(step).__name__ for step in options.refiners or () if step.works_on in ("logits", "probabilities")]
    if on_maps:
        advice.append(
            f"{' and '.join(on_maps)} (--model.refiners) hold maps of all classes at the size of the image file, or at "
            "that of --model.refine_side: lower this, leave them out, or make the image smaller"
        )
    merged = [type(step).__name__ for step in options.refiners or () if step.works_on == "sheet"]
    if merged:
        advice.append(f"{' and '.join(merged)} (--model.refiners) hold maps of all names: leave them out")
    if options.crop == 0:
        advice.append("images pass through the network whole: lower the short side, or set --model.crop")
    else:
        batch = options.window_batch_size
        advice.append(f"{batch} windows pass through the network at a time: lower --model.window_batch_size")
        advice.append("the logits of all windows are kept: lower the short side, which makes fewer")
    return f"What takes it, most first: {'; '.join(advice)} (the short side is --short_side, or --data.short_side)."
