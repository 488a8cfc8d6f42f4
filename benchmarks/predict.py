"""What everything around the vision tower costs: time and memory of `predict` against tower and decoder alone.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 with random weights,
float32.

    python benchmarks/predict.py [--device cuda] [--repeats 5]
"""

import torch
from measuring import ORIGINAL, RESIZED, build_segmentor, compare, parser

from sclip_lightning.model.head import Head
from sclip_lightning.towers import load_clip


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    model = load_clip(weights=None).model
    segmentor = build_segmentor(model, device)
    thresholds = build_segmentor(model, device, head=Head(40.0, 0.1, 0.1))
    image = torch.randn(3, *RESIZED, device=device)
    scene = segmentor.scene(image, ORIGINAL)

    def tower_alone() -> None:
        with torch.no_grad():
            segmentor.decoder.decode(scene)

    calls = {
        "tower alone": tower_alone,
        "predict": lambda: segmentor.predict(image, ORIGINAL),
        "predict, both thresholds": lambda: thresholds.predict(image, ORIGINAL),
    }
    compare(calls, device, options.repeats)


if __name__ == "__main__":
    main()
