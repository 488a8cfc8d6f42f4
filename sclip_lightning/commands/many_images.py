"""What commands over many images have in common: options for how they work, and words for images left out."""

import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from sclip_lightning.data.reading.pixels import MOST_PIXELS, allow_pixels
from sclip_lightning.errors import DataError
from sclip_lightning.jobs.job import ImageJob, OnError
from sclip_lightning.jobs.processes import Launch, launch_of
from sclip_lightning.model.devices import find_device
from sclip_lightning.ranges import at_least, check_number

__all__ = ["add_work_options", "allow_large_images", "launch_for", "name_skipped", "refuse_skipped"]


def add_work_options(parser: ArgumentParser, results: str, device_help: str) -> None:
    """Add the options that say how a command works through many images.

    Args:
        parser: The command's.
        results: What it makes, in words.
        device_help: What ``--device`` means to it.
    """
    parser.add_argument("--recursive", action="store_true", help="Take images from subfolders, too.")
    parser.add_argument(
        "--overwrite", action="store_true", help=f"Delete the {results} that the folder holds and start afresh."
    )
    parser.add_argument(
        "--on_error", type=OnError, default="stop", help="What to do about an image that cannot be read or segmented."
    )
    parser.add_argument(
        "--max_pixels",
        type=int,
        default=MOST_PIXELS,
        help="Most pixels that an image may have; a small file may unpack to any number of them.",
    )
    parser.add_argument(
        "--devices", type=int, default=1, help="Processes on each machine, one a device; several share the images."
    )
    parser.add_argument(
        "--num_nodes", type=int, default=1, help="Machines, which share --output_dir; a scheduler starts the command."
    )
    parser.add_argument("--device", type=str, default="auto", help=device_help)


def allow_large_images(options: Namespace) -> None:
    """Have ``--max_pixels`` count; raises ConfigError where no image may have any."""
    check_number(options.max_pixels, at_least(1, whole=True), "--max_pixels")
    allow_pixels(options.max_pixels)


def launch_for(options: Namespace, device: str) -> Launch:
    """The processes that ``--devices`` and ``--num_nodes`` ask for; errors as :func:`launch_of`."""
    return launch_of(options.devices, options.num_nodes, device, find_device)


def name_skipped(skipped: Sequence[str]) -> None:
    """Say which images were left out, and why."""
    for problem in skipped:
        sys.stderr.write(f"Skipped: {problem}\n")


def refuse_skipped(job: ImageJob[Any, Any, Any, Any], skipped: Sequence[str]) -> None:
    """Raise DataError where images were left out: the others are done, but the command has not done all."""
    if skipped:
        were = "was" if len(skipped) == 1 else "were"
        msg = (
            f"{len(skipped)} of {len(job.files)} images {were} skipped, named above; the others are done. The same "
            "command tries them again."
        )
        raise DataError(msg)
