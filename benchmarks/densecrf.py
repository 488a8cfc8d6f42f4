"""DenseCRF against pydensecrf: time, labels and memory at 375 x 500, interleaved in one process.

    pip install "sclip_lightning[crf]"
    OMP_NUM_THREADS=2 python benchmarks/densecrf.py [photo.jpg] [--repeats 5]

Run it on idle cores: where others compute, spinning OpenMP threads make torch many times slower. The library always
uses one thread. Both start from probabilities and an image in memory and end with marginals; the lattice of the
positions alone is kept from a first image of that size, as it is in an evaluation. Probabilities are smooth and
synthetic. MiB is the growth of peak memory in one call, in a process of its own.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import cv2
import torch
import torch.nn.functional as F

from sclip_lightning.refine.crf.library_crf import library_crf
from sclip_lightning.refine.densecrf import dense_crf

HEIGHT, WIDTH = 375, 500
#: Iterations; width and weight of the smoothness kernel; widths in pixels and grey levels and weight of the appearance.
SETTINGS = (10, 3, 3, 80, 13, 10)
METHODS = {
    "library": lambda maps, image: library_crf(maps, image, *SETTINGS),
    "torch, all classes": lambda maps, image: dense_crf(maps, image, *SETTINGS, prune=None),
    "torch, lumped": lambda maps, image: dense_crf(maps, image, *SETTINGS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", nargs="?", help="a photograph; a synthetic one by default")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--classes", type=int, nargs="+", default=[21, 171])
    options = parser.parse_args()
    image = load_photo(options.photo) if options.photo else synthetic_photo()
    if options.memory_of:
        print(peak_growth(METHODS[options.memory_of], probabilities(options.classes[0]), image))
        return

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.repeats} repeats, 10 iterations")
    print("classes  method              median s  best s  speed  labels %  max |dQ|   MiB")
    for classes in options.classes:
        maps = probabilities(classes)
        times, results = measure(maps, image, options.repeats)
        for method, seconds in times.items():
            labels = (results[method].argmax(dim=0) == results["library"].argmax(dim=0)).double().mean() * 100
            error = (results[method] - results["library"]).abs().max()
            speed = median(ratios(times["library"], seconds))
            print(
                f"{classes:7}  {method:<19}{median(seconds):9.3f}{min(seconds):8.3f}{speed:6.2f}x"
                f"{labels:10.4f}{error:10.1e}{peak_in_own_process(method, classes, options.photo):6}"
            )
        best = maps.flatten(1).amax(dim=1)
        print(f"{'':7}  {int((best > 0.05).sum())} of {classes} classes exceed 0.05 somewhere")


def measure(maps, image, repeats):
    """Seconds and last result of each method, one after the other in every repeat; the first round is not counted."""
    times, results = {method: [] for method in METHODS}, {}
    for counted in [False] + [True] * repeats:
        for method, crf in METHODS.items():
            start = time.perf_counter()
            results[method] = crf(maps, image)
            if counted:
                times[method].append(time.perf_counter() - start)
    return times, results


def ratios(library, seconds):
    return [a / b for a, b in zip(library, seconds, strict=True)]


def median(values):
    return sorted(values)[len(values) // 2]


def peak_growth(crf, maps, image) -> int:
    """MiB by which the process's peak resident memory exceeds what it holds before the call."""
    before = resident("VmRSS")
    crf(maps, image)
    return resident("VmHWM") - before


def resident(field) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(field)) // 1024


def peak_in_own_process(method, classes, photo):
    command = [sys.executable, __file__, *([photo] if photo else []), "--memory-of", method, "--classes", str(classes)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def probabilities(classes):
    """[C, H, W] probabilities as a segmentor gives them: smooth, and most of many classes unlikely everywhere."""
    generator = torch.Generator().manual_seed(0)
    logits = F.interpolate(torch.randn(1, classes, 12, 16, generator=generator), (HEIGHT, WIDTH), mode="bicubic")[0]
    likely = torch.randn(classes, 1, 1, generator=generator) * (5 if classes > 100 else 2)
    return (2 * logits + likely).softmax(dim=0).contiguous()


def synthetic_photo():
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    for cells, strength in ((4, 120), (20, 60), (90, 30)):
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        image += strength * F.interpolate(noise, (HEIGHT, WIDTH), mode="bicubic" if cells < 90 else "nearest")
    return (image[0] / 2 + 110 + 5 * torch.randn(3, HEIGHT, WIDTH, generator=generator)).clamp(0, 255).byte()


def load_photo(path):
    image = cv2.resize(cv2.imread(path), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)


if __name__ == "__main__":
    main()
