"""What every method costs beside the bare tower and SCLIP: time and memory of `SlidingWindowSegmentor.predict`.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 with random weights,
float32; COCO-Stuff's published numbers. TLP, prior and upsamplers stand on SCLIP, and ratios are to it. LPOSS runs
DINO ViT-B/16 on the same windows, which is most of what it adds, and ProxyCLIP and its kin DINO ViT-B/8. The image is
noise: what a graph of pixels costs does not depend on what it shows. The segment map has 300 rectangles, which random
networks join to few segments. The vote alone has an image of VOC's size, 500 x 375, and 21 classes.

    python benchmarks/methods.py [--device cuda] [--repeats 5] [--size 448 597] [--methods SCLIP ProxyCLIP ...]
"""

import torch
import torch.nn.functional as F
from measuring import ORIGINAL, RESIZED, compare, parser

from sclip_lightning.data import COCOStuff
from sclip_lightning.decoding import (
    GLACLIP,
    SCCLIP,
    ClassTokenShare,
    CorrCLIP,
    LastBlock,
    OVStitcher,
    PresencePrior,
    ProcrustesAttention,
    ProxyCLIP,
)
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.refine import LPOSS, TLP, LPOSSPlus, RegionVote
from sclip_lightning.refine.region_vote import region_vote
from sclip_lightning.towers import load_clip
from sclip_lightning.upsampling import NAF, AnyUp, ResizedFeatures
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import Texts

METHODS = {
    "SCLIP": {},
    "MaskCLIP": {"decoder": LastBlock("maskclip")},
    "ClearCLIP": {"decoder": LastBlock("clearclip")},
    "NACLIP": {"decoder": LastBlock("naclip")},
    "ResCLIP (RCS)": {"decoder": LastBlock("naclip", rcs=True)},
    "ResCLIP (RCS, SFR)": {"decoder": LastBlock("naclip", rcs=True, sfr=True)},
    "SC-CLIP": {"decoder": SCCLIP()},
    "PEARL (attention)": {"decoder": LastBlock(ProcrustesAttention())},
    "PEARL (attention, TLP)": {"decoder": LastBlock(ProcrustesAttention()), "refiners": [TLP()]},
    "SegEarth-OV": {"decoder": LastBlock("segearth"), "prior": ClassTokenShare()},
    "presence prior": {"prior": PresencePrior()},
    "presence prior (windows)": {"prior": PresencePrior(per_window=True)},
    "TLP": {"refiners": [TLP()]},
    "LPOSS": {"decoder": LastBlock("maskclip", residual=True, padded=True), "refiners": [LPOSS(weights=None)]},
    "LPOSS+": {
        "decoder": LastBlock("maskclip", residual=True, padded=True),
        "refiners": [LPOSS(weights=None), LPOSSPlus()],
    },
    "region vote": {"refiners": [RegionVote(0)]},
    "ResizedFeatures, scale 4": {"upsampler": ResizedFeatures(4)},
    "NAF, scale 4": {"upsampler": NAF(weights=None)},
    "NAF, scale 2, per window": {"upsampler": NAF(weights=None, where="window", scale=2)},
    "AnyUp, scale 2": {"upsampler": AnyUp(weights=None)},
    "ProxyCLIP": {"decoder": ProxyCLIP(weights=None)},
    "GLA-CLIP": {"decoder": GLACLIP(weights=None)},
    "CorrCLIP": {"decoder": CorrCLIP(weights=None)},
    "OV-Stitcher": {"decoder": OVStitcher(weights=None)},
}
#: What else is timed, beside the methods that need it.
ALONE = {
    "tower alone": "SCLIP",
    "TLP alone": "TLP",
    "LPOSS alone, DINO included": "LPOSS+",
    "DINO B/16 alone": "LPOSS+",
    "LPOSS+ alone": "LPOSS+",
    "DINO B/8 alone": "ProxyCLIP",
    "region vote alone": "region vote",
}
#: Of the vote alone.
VOTE = (500, 375)


def rectangles(size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """A segment map [H, W] int64 of 300 equal segments."""
    rows, columns = (torch.arange(side, device=device) for side in size)
    return 1 + rows[:, None] * 15 // size[0] * 20 + columns * 20 // size[1]


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--size", type=int, nargs=2, default=RESIZED, metavar=("H", "W"), help="of the network's input"
    )
    options.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    options = options.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    clip, vocabulary = load_clip(weights=None), Vocabulary.of(COCOStuff.published)
    queries = len(vocabulary.names)
    texts = Texts(F.normalize(torch.randn(queries, 512), dim=-1), torch.arange(queries))
    image, size = torch.randn(3, *options.size, device=device), tuple(options.size)
    size = ORIGINAL if size == RESIZED else size
    regions, few = rectangles(size, device), rectangles(VOTE, device)
    labels = torch.randint(21, VOTE, device=device)
    loaded = {}

    def segmentor(parts):
        settings = resolve(SegmentorOptions(weights=None, **parts), vocabulary)
        networks = load_networks(clip, settings.parts, loaded)
        loaded.update({part.source(name): networks[name] for part in settings.parts for name in part.networks})
        return build_segmentor(networks, texts, settings).to(device)

    names = list(dict.fromkeys(["SCLIP", *options.methods]))
    segmentors = {name: segmentor(METHODS[name]) for name in names}
    scene = segmentors["SCLIP"].scene(image, size)
    sheet = segmentors["SCLIP"].sheet(scene)

    @torch.no_grad()
    def alone(what: str) -> object:
        model = segmentors[ALONE[what]]
        own = model.scene(image, size)
        if what == "tower alone":
            return model.tower.visual(own.windows.pixels)
        if what == "region vote alone":
            return region_vote(labels, few, 21, 0)
        if what == "DINO B/16 alone":
            return own.networks[LPOSS.dino].values(own.windows.pixels)
        if what == "DINO B/8 alone":
            return own.networks[ProxyCLIP.dino].features(own.windows.pixels)
        return model.sheet_steps[what.startswith("LPOSS+")](sheet, own)

    calls = {name: lambda model=model: model.predict(image, size, None, regions) for name, model in segmentors.items()}
    calls |= {what: lambda what=what: alone(what) for what, method in ALONE.items() if method in segmentors}
    compare(calls, device, options.repeats)


if __name__ == "__main__":
    main()
