"""What ResCLIP's parts cost: `SlidingWindowSegmentor.predict` with and without them.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 with random weights,
float32, SCLIP's attention; below, the parts of semantic feedback by themselves on the same windows.

    python benchmarks/resclip.py [--device cuda] [--repeats 5]
"""

import torch
import torch.nn.functional as F
from measuring import compare, parser

from sclip_lightning.decoding.feedback import SemanticFeedback, patch_affinity, patch_labels
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.refine.pamr import pamr_weights
from sclip_lightning.towers.checkpoints import load_clip
from sclip_lightning.towers.clip import VisionTower
from sclip_lightning.windows.grid import cut_windows, window_grid


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    visual = load_clip(weights=None).model.visual.to(device)
    queries = F.normalize(torch.randn(171, 512), dim=-1)
    # COCO-Stuff's published settings
    rcs, sfr = ResidualAttention(2.0, 0.4), SemanticFeedback(1.8, 0.7, 0.11)

    def build(rcs: ResidualAttention | None, sfr: SemanticFeedback | None) -> SlidingWindowSegmentor:
        tower = VisionTower(visual, residual_attention=rcs)
        return SlidingWindowSegmentor(tower, queries, torch.arange(171), Head(40.0), feedback=sfr).to(device)

    image = torch.nn.functional.interpolate(torch.randn(1, 3, 56, 75, device=device), (448, 597), mode="bicubic")
    windows = cut_windows(image, window_grid(448, 597, 224, 112))
    logits = torch.randn(15, 196, 171, device=device) * 0.02 + 0.2
    segmentors = {
        "baseline": build(None, None),
        "rcs": build(rcs, None),
        "sfr": build(None, sfr),
        "both": build(rcs, sfr),
    }
    with torch.no_grad():
        compare(
            {name: lambda s=segmentor: s.predict(image, (480, 640)) for name, segmentor in segmentors.items()},
            device,
            options.repeats,
        )
        inputs = segmentors["both"].tower.trunk(windows)
        labels = torch.randint(0, 9, (15, 196), device=device)
        compare(
            {
                "feedback": lambda: sfr.bias(logits, windows, (14, 14), (16, 16)),
                "  patch labels": lambda: [
                    patch_labels(logits[i : i + 1], windows[i : i + 1], (14, 14), (16, 16), 40.0, 0.11)
                    for i in range(15)
                ],
                "    PAMR weights": lambda: [pamr_weights(windows[i : i + 1]) for i in range(15)],
                "  patch affinity": lambda: patch_affinity(labels, (14, 14), 5.0),
                "last block": lambda: segmentors["both"].tower.finish(inputs),
                "rcs": lambda: rcs.cross([(inputs.q, inputs.k)] * 4, inputs.v),
            },
            device,
            options.repeats,
        )


if __name__ == "__main__":
    main()
