"""Running out of memory over one image, told from errors that concern all of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sclip_lightning.errors import DataError

__all__ = ["memory_for"]

#: How torch's allocator says on the CPU that there is no memory left; there is no class of error for it.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


@contextmanager
def memory_for(source: str, size: tuple[int, int]) -> Iterator[None]:
    """Turn running out of memory, on the GPU or outside of it, into a DataError of the image that was worked on.

    Args:
        source: What to call the image.
        size: Its (H, W) in pixels.
    """
    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
        on_gpu = isinstance(error, torch.cuda.OutOfMemoryError)
        if not (on_gpu or isinstance(error, MemoryError) or _CPU_ALLOCATOR in str(error)):
            raise
        msg = (
            f"{source} has {size[0]} x {size[1]} pixels (height x width), and {'the GPU' if on_gpu else 'the machine'} "
            "has too little memory left for it. Make the image smaller, or lower the short side or "
            "--model.window_batch_size."
        )
        raise DataError(msg) from error
