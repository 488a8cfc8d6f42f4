"""What LoftUp costs: `SlidingWindowSegmentor.predict` with and without it.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 and LoftUp with random
weights, float32.

    python benchmarks/loftup.py [--device cuda] [--repeats 5] [--scale 2]
"""

import torch
import torch.nn.functional as F
from measuring import compare, parser

from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers.checkpoints import load_clip
from sclip_lightning.towers.clip import VisionTower
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--scale", type=int, default=2)
    options = options_of.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    tower = VisionTower(load_clip(weights=None).model.visual)
    queries = F.normalize(torch.randn(171, 512), dim=-1)
    image = torch.randn(1, 3, 448, 597, device=device)

    def build(**upsampling) -> SlidingWindowSegmentor:
        upsampler = LogitUpsampler(load_loftup(None), scale=options.scale, **upsampling) if upsampling else None
        return SlidingWindowSegmentor(tower, queries, torch.arange(171), Head(40.0), upsampler=upsampler).to(device)

    segmentors = {"baseline": build(), "affinity": build(mode="affinity"), "direct": build(mode="direct")}
    compare(
        {name: lambda s=segmentor: s.predict(image, (480, 640)) for name, segmentor in segmentors.items()},
        device,
        options.repeats,
    )


if __name__ == "__main__":
    main()
