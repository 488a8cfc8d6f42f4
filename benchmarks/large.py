"""What a photograph costs: seconds, processor time and the process's peak memory, each case in a process of its own.

A made-up photograph of five classes, ViT-B/16 with random weights, the default short side (336), float32; without
refiners, and with all parts of Phase 1. For 100 megapixels: --size 8660 11547 --parts none.

    python benchmarks/large.py [--device cuda] [--size 3024 4032] [--parts none all] [--threads 2] [--refine_side N]
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from measuring import machine, parser

from sclip_lightning import Segmentor
from sclip_lightning.decoding import LastBlock
from sclip_lightning.refine import DenseCRF
from sclip_lightning.upsampling import LoftUp

CLASSES = "cat, grass, sky, water, road"
PARTS = {
    "none": dict,
    "all": lambda: {
        "decoder": LastBlock("sclip", rcs=True, sfr=True),
        "upsampler": LoftUp(weights=None),
        "refiners": [DenseCRF()],
    },
}


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if len(options.parts) == 1:
        _measure(options)
        return
    for parts in options.parts:
        given = [*(arguments or sys.argv[1:]), "--parts", parts]
        subprocess.run([sys.executable, __file__, *given], check=True)


def photograph(height: int, width: int) -> np.ndarray:
    """[height, width, 3] uint8: smooth colours with some noise, as a camera's."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 48 + 1, width // 48 + 1, 3)).astype(np.int16)
    # Broadcast instead of repeat, so that no second image stands beside the first.
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, 48):
        band = np.repeat(coarse[top // 48][None], 48, axis=1)[:, :width]
        noisy = band + random.integers(-8, 9, (min(48, height - top), width, 3), dtype=np.int16)
        image[top : top + 48] = noisy.clip(0, 255)
    return image


def _parser():
    options = parser(__doc__)
    options.add_argument("--size", type=int, nargs=2, default=(3024, 4032), help="height and width in pixels")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options.add_argument("--architecture", default="ViT-B-16-quickgelu")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--short_side", type=int)
    options.add_argument("--refine_side", type=int, help="see --model.refine_side; 0 refines at the image's own size")
    return options


def _measure(options) -> None:
    torch.set_num_threads(options.threads)
    bound = {} if options.refine_side is None else {"refine_side": options.refine_side}
    segmentor = Segmentor.from_pretrained(
        options.architecture,
        None,
        templates="none",
        short_side=options.short_side,
        device=options.device,
        **PARTS[options.parts[0]](),
        **bound,
    )
    segmentor.sliding_window(segmentor.vocabulary(CLASSES))
    image, loaded = photograph(*options.size), _peak()
    seconds, processor = time.perf_counter(), time.process_time()
    segmentor.predict(image, CLASSES)
    seconds, processor = time.perf_counter() - seconds, time.process_time() - processor
    print(
        f"{options.size[0]} x {options.size[1]}, parts {options.parts[0]:5} {seconds:8.1f} s {processor:8.1f} s of "
        f"processors, {_peak():.2f} GiB at most ({loaded:.2f} once loaded); load {os.getloadavg()[0]:.1f}, "
        f"{machine(torch.device(options.device))}"
    )


def _peak() -> float:
    """GiB that the process has had at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
