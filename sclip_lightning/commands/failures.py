"""What a user can do about errors that are none of ours: a full disk, memory that ran out, a process killed outside."""

import torch

from sclip_lightning.model.options import SegmentorOptions

__all__ = ["explain", "memory_advice"]

#: How torch's allocator for the CPU, and CUDA's libraries, say that there is no memory left.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def explain(error: BaseException, options: SegmentorOptions, short_side: str) -> str | None:
    """What happened and what to do about it, in a sentence or two; None where we do not know.

    Args:
        error: What ended a command.
        options: Those of its segmentor.
        short_side: The option that says which size images are resized to.
    """
    if isinstance(error, OSError):
        return f"The run cannot go on: {error}. Make room, or make the place readable and writable."
    if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):
        return (
            f"A process that reads images was ended from outside, most likely because the machine ran out of memory "
            f"({str(error).splitlines()[0].strip()}). Lower --data.num_workers; 0 reads in the main process."
        )
    return memory_advice(error, options, short_side)


def memory_advice(error: BaseException, options: SegmentorOptions, short_side: str) -> str | None:
    """What bounds the memory that ran out; None if it is another error. Arguments as for :func:`explain`."""
    text = str(error)
    if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not (
        isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)
    ):
        return None
    advice = []
    on_maps = [type(step).__name__ for step in options.refiners or () if step.works_on in ("logits", "probabilities")]
    if on_maps:
        advice.append(
            f"{' and '.join(on_maps)} (--model.refiners) hold maps of all classes at the size of the image file: leave "
            "them out, or give smaller images"
        )
    if options.crop == 0:
        advice.append(f"images pass through the network whole: lower {short_side}, or set --model.crop")
    else:
        batch = options.window_batch_size
        advice.append(f"{batch} windows pass through the network at a time: lower --model.window_batch_size")
        advice.append(f"the logits of all windows are kept: lower {short_side}, which makes fewer")
    reason = (text.splitlines() or [type(error).__name__])[0].strip() or type(error).__name__
    return f"There is no memory left ({reason}). What takes it, most first: {'; '.join(advice)}."
