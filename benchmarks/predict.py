"""What everything around the vision tower costs: time and memory of `Segmentor.predict` against the tower alone.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 with random weights,
float32. Times are interleaved in one process and the medians compared, because the machine's speed drifts.

    python benchmarks/predict.py [--device cuda] [--repeats 5]
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from measuring import PeakMemory, machine

from sclip_lightning.clip.loading import load_clip
from sclip_lightning.clip.tower import VisionTower
from sclip_lightning.head import Head
from sclip_lightning.segmentor import Segmentor
from sclip_lightning.windows import cut_windows, window_grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    tower = VisionTower(load_clip(weights=None).model.visual).to(device)
    queries = F.normalize(torch.randn(171, 512), dim=-1)
    segmentor = Segmentor(tower, queries, torch.arange(171), Head(40.0)).to(device)
    thresholds = Segmentor(tower, queries, torch.arange(171), Head(40.0, 0.1, 0.1)).to(device)
    image = torch.randn(1, 3, 448, 597, device=device)
    windows = cut_windows(image, window_grid(448, 597, 224, 112))

    def tower_alone() -> None:
        with torch.no_grad():
            tower(windows)

    calls = {
        "tower alone": tower_alone,
        "predict": lambda: segmentor.predict(image, (480, 640)),
        "predict, both thresholds": lambda: thresholds.predict(image, (480, 640)),
    }
    memory = {}
    for name, call in calls.items():
        with PeakMemory(device) as peak:
            call()
        memory[name] = peak.bytes
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)

    print(machine(device))
    base = statistics.median(seconds["tower alone"])
    print(f"{'':28}{'seconds':>9}{'ratio':>8}{'peak beyond weights':>22}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:28}{median:9.3f}{median / base:8.3f}{memory[name] / 2**20:18.0f} MiB")


if __name__ == "__main__":
    main()
