"""What LoftUp costs: `SlidingWindowSegmentor.predict` with and without it.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 and LoftUp with random
weights, float32.

    python benchmarks/loftup.py [--device cuda] [--repeats 5] [--scale 2]
"""

import torch
from measuring import ORIGINAL, RESIZED, build_segmentor, compare, parser

from sclip_lightning.towers import load_clip
from sclip_lightning.upsampling import LoftUp


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--scale", type=int, default=2)
    options = options_of.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    model = load_clip(weights=None).model
    image = torch.randn(3, *RESIZED, device=device)
    upsamplers = {
        "baseline": None,
        "affinity": LoftUp(weights=None, mode="affinity", scale=options.scale),
        "direct": LoftUp(weights=None, mode="direct", scale=options.scale),
    }
    segmentors = {name: build_segmentor(model, device, upsampler=one) for name, one in upsamplers.items()}
    compare(
        {name: lambda s=segmentor: s.predict(image, ORIGINAL) for name, segmentor in segmentors.items()},
        device,
        options.repeats,
    )


if __name__ == "__main__":
    main()
