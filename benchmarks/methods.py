"""What every method costs beside the bare tower and SCLIP: time and memory of `SlidingWindowSegmentor.predict`.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 with random weights,
float32; COCO-Stuff's published numbers. TLP stands on SCLIP.

    python benchmarks/methods.py [--device cuda] [--repeats 5]
"""

import torch
import torch.nn.functional as F
from measuring import compare, parser

from sclip_lightning.data import COCOStuff
from sclip_lightning.decoding import SCCLIP, ClassTokenShare, LastBlock, PresencePrior, ProcrustesAttention
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.refine import TLP
from sclip_lightning.towers import load_clip
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import Texts

METHODS = {
    "SCLIP": {},
    "NACLIP": {"decoder": LastBlock("naclip")},
    "ResCLIP (RCS)": {"decoder": LastBlock("naclip", rcs=True)},
    "ResCLIP (RCS, SFR)": {"decoder": LastBlock("naclip", rcs=True, sfr=True)},
    "SC-CLIP": {"decoder": SCCLIP()},
    "PEARL's attention": {"decoder": LastBlock(ProcrustesAttention())},
    "SCLIP + TLP": {"refiners": [TLP()]},
    "SegEarth-OV": {"decoder": LastBlock("segearth"), "prior": ClassTokenShare()},
    "SCLIP + presence prior": {"prior": PresencePrior()},
}


def main() -> None:
    options = parser(__doc__).parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    clip, vocabulary = load_clip(weights=None), Vocabulary.of(COCOStuff.published)
    texts = Texts(F.normalize(torch.randn(171, 512), dim=-1), torch.arange(171))
    image = torch.randn(3, 448, 597, device=device)

    def segmentor(parts):
        settings = resolve(SegmentorOptions(weights=None, **parts), vocabulary)
        return build_segmentor(load_networks(clip, settings.parts), texts, settings).to(device)

    segmentors = {name: segmentor(parts) for name, parts in METHODS.items()}
    tower, windows = segmentors["SCLIP"].tower, segmentors["SCLIP"].scene(image).windows.pixels

    @torch.no_grad()
    def tower_alone() -> None:
        tower.visual(windows)

    calls = {name: lambda model=model: model.predict(image, (480, 640)) for name, model in segmentors.items()}
    compare({"tower alone": tower_alone, **calls}, device, options.repeats)


if __name__ == "__main__":
    main()
