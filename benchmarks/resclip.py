"""What ResCLIP's parts cost: `SlidingWindowSegmentor.predict` with and without them.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 with random weights,
float32, SCLIP's attention; below, the parts of semantic feedback by themselves on the same windows.

    python benchmarks/resclip.py [--device cuda] [--repeats 5]
"""

import torch
import torch.nn.functional as F
from measuring import CLASSES, ORIGINAL, RESIZED, build_segmentor, compare, parser

from sclip_lightning.decoding import LastBlock, ResidualAttention, SemanticFeedback
from sclip_lightning.decoding.attention import attention_of
from sclip_lightning.decoding.feedback import patch_affinity, patch_labels
from sclip_lightning.refine.pamr import pamr_weights
from sclip_lightning.towers import load_clip


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    model = load_clip(weights=None).model
    # COCO-Stuff's published settings
    rcs, sfr = ResidualAttention(2.0, 0.4), SemanticFeedback(1.8, 0.7, 0.11, logit_scale=40.0)
    decoders = {
        "baseline": LastBlock("sclip"),
        "rcs": LastBlock("sclip", rcs=rcs),
        "sfr": LastBlock("sclip", sfr=sfr),
        "both": LastBlock("sclip", rcs=rcs, sfr=sfr),
    }
    segmentors = {name: build_segmentor(model, device, decoder) for name, decoder in decoders.items()}
    image = F.interpolate(torch.randn(1, 3, 56, 75, device=device), RESIZED, mode="bicubic")[0]
    tower, windows = segmentors["both"].tower, segmentors["both"].scene(image, ORIGINAL).windows.pixels
    patch, count = tower.patch_size, len(windows)
    grid = tower.grid_size(*windows.shape[-2:])
    logits = torch.randn(count, grid[0] * grid[1], CLASSES, device=device) * 0.02 + 0.2
    with torch.no_grad():
        compare(
            {name: lambda s=segmentor: s.predict(image, ORIGINAL) for name, segmentor in segmentors.items()},
            device,
            options.repeats,
        )
        trunk = tower.trunk(windows)
        q, k, v = tower.project(trunk.x, tower.depth)
        labels = torch.randint(0, 9, (count, grid[0] * grid[1]), device=device)
        compare(
            {
                "feedback": lambda: sfr.bias(logits, windows, grid, patch),
                "  patch labels": lambda: [
                    patch_labels(one, image, grid, patch, 40.0, 0.11)
                    for one, image in zip(logits.split(1), windows.split(1), strict=True)
                ],
                "    PAMR weights": lambda: [pamr_weights(image) for image in windows.split(1)],
                "  patch affinity": lambda: patch_affinity(labels, grid, 5.0),
                "last block": lambda: last_block(tower, trunk),
                "rcs": lambda: rcs.cross([(q, k)] * 4, v),
            },
            device,
            options.repeats,
        )


def last_block(tower, trunk):
    """What each pass costs: projections, SCLIP's attention, completion, text projection."""
    q, k, v = tower.project(trunk.x, tower.depth)
    y = attention_of("sclip")(q, k, v, trunk.grid)
    return tower.to_text_space(tower.finish(trunk.x, y, tower.depth))


if __name__ == "__main__":
    main()
