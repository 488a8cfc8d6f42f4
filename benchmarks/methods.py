"""What every method costs beside the bare tower and SCLIP: time and memory of `SlidingWindowSegmentor.predict`.

One 480 x 640 image at short side 448 (15 windows of 224 at stride 112), 171 classes, ViT-B/16 with random weights,
float32; COCO-Stuff's published numbers. TLP, prior and ResizedFeatures stand on SCLIP, and ratios are to it. LPOSS runs
DINO ViT-B/16 on the same windows, which is most of what it adds. The image is noise: what a graph of pixels costs does
not depend on what it shows.

    python benchmarks/methods.py [--device cuda] [--repeats 5] [--size 448 597]
"""

import torch
import torch.nn.functional as F
from measuring import ORIGINAL, RESIZED, compare, parser

from sclip_lightning.data import COCOStuff
from sclip_lightning.decoding import SCCLIP, ClassTokenShare, LastBlock, PresencePrior, ProcrustesAttention
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.refine import LPOSS, TLP, LPOSSPlus
from sclip_lightning.towers import load_clip
from sclip_lightning.upsampling import ResizedFeatures
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
    "ResizedFeatures, scale 4": {"upsampler": ResizedFeatures(4)},
}


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--size", type=int, nargs=2, default=RESIZED, metavar=("H", "W"), help="of the network's input"
    )
    options = options.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    clip, vocabulary = load_clip(weights=None), Vocabulary.of(COCOStuff.published)
    queries = len(vocabulary.names)
    texts = Texts(F.normalize(torch.randn(queries, 512), dim=-1), torch.arange(queries))
    image, size = torch.randn(3, *options.size, device=device), tuple(options.size)
    size = ORIGINAL if size == RESIZED else size

    def segmentor(parts):
        settings = resolve(SegmentorOptions(weights=None, **parts), vocabulary)
        return build_segmentor(load_networks(clip, settings.parts), texts, settings).to(device)

    segmentors = {name: segmentor(parts) for name, parts in METHODS.items()}
    baseline, (step,) = segmentors["SCLIP"], segmentors["TLP"].sheet_steps
    scene = baseline.scene(image, size)
    sheet = baseline.sheet(scene)

    @torch.no_grad()
    def tower_alone() -> None:
        baseline.tower.visual(scene.windows.pixels)

    calls = {name: lambda model=model: model.predict(image, size) for name, model in segmentors.items()}
    spread, plus = segmentors["LPOSS+"].sheet_steps
    after = segmentors["LPOSS+"].scene(image, size)
    alone = {
        "tower alone": tower_alone,
        "TLP alone": lambda: step(sheet, scene),
        "LPOSS alone, DINO included": lambda: spread(sheet, after),
        "DINO alone": lambda: after.networks[LPOSS.dino].values(after.windows.pixels),
        "LPOSS+ alone": lambda: plus(sheet, after),
    }
    compare({**calls, **alone}, device, options.repeats)


if __name__ == "__main__":
    main()
