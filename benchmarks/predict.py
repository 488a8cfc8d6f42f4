"""What everything around the vision tower costs: time and memory of `predict` against the tower alone.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 with random weights,
float32.

    python benchmarks/predict.py [--device cuda] [--repeats 5]
"""

import torch
import torch.nn.functional as F
from measuring import compare, parser

from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers.checkpoints import load_clip
from sclip_lightning.towers.clip import VisionTower
from sclip_lightning.windows.grid import cut_windows, window_grid


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    tower = VisionTower(load_clip(weights=None).model.visual).to(device)
    queries = F.normalize(torch.randn(171, 512), dim=-1)
    segmentor = SlidingWindowSegmentor(tower, queries, torch.arange(171), Head(40.0)).to(device)
    thresholds = SlidingWindowSegmentor(tower, queries, torch.arange(171), Head(40.0, 0.1, 0.1)).to(device)
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
    compare(calls, device, options.repeats)


if __name__ == "__main__":
    main()
