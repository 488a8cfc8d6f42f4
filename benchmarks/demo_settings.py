"""Which numbers of a method do best on the demo's validation scenes: how those in `configs/demo/` were chosen.

The demo's CLIP has six blocks and windows of 8 x 8 patches, so that published numbers say little. Candidates differ
from the first of their method in one number, or two that belong together. No test scene is looked at.

Candidates with a maker read its segment maps of the scenes, which need the extra [regions].

    python benchmarks/demo_settings.py [--scenes 64] [--methods SC-CLIP TLP ...]
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import yaml

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
from sclip_lightning.demo.benchmark import Demo, write_scenes
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.refine import LPOSS, TLP, LPOSSPlus, RegionVote
from sclip_lightning.refine.region_vote import Unassigned
from sclip_lightning.regions import Felzenszwalb
from sclip_lightning.towers import build_text_bank, load_clip
from sclip_lightning.vocabulary import Vocabulary

CALIBRATED = SCCLIP(similarity_block=4, post_block=2, second_pass=(2, 5), class_share=0.3)
PRIOR = PresencePrior(0.25, 0.0, 0.1, per_window=False)
#: Of CorrCLIP and OV-Stitcher, by name.
IN_SEGMENTS = {
    "as published": {},
    **{f"tau {x}": {"tau": x} for x in (10.0, 20.0, 40.0)},
    **{f"eps {x}": {"eps": x} for x in (0.0, 0.1, 0.3)},
    **{f"alpha {x}": {"alpha": x} for x in (0.0, 0.5)},
    **{f"beta {x}": {"beta": x} for x in (0.0, 1.0, 2.0, 4.0)},
    "middle_blocks 1": {"middle_blocks": 1},
}


def voted(unassigned: Unassigned = 0, **changes: float) -> dict:
    """The region vote, on segment maps of a maker with other numbers than its defaults."""
    return {"refiners": [RegionVote(unassigned)], "maker": Felzenszwalb(**changes)}


#: By method: candidates by name, and the options that the numbers of one make. SC-CLIP's blocks lie as ViT-B/16's do,
#: then one number differs, then what did better is put together.
CANDIDATES = {
    "SCLIP": ({"as it is": None}, lambda _: {}),
    "SC-CLIP": (
        {
            "as ViT-B/16, in proportion": {},
            **{f"similarity_block {n}": {"similarity_block": n} for n in (3, 5)},
            **{f"post_block {n}": {"post_block": n} for n in (1, 3, 4)},
            **{f"second_pass {p}": {"second_pass": p} for p in ((2, 4), (3, 5), (4, 5))},
            **{f"class_share {x}": {"class_share": x} for x in (0.0, 0.1)},
            **{f"beta {x}": {"beta": x} for x in (0.3, 0.6)},
            **{f"factor {x}": {"factor": x} for x in (5.0, 10.0)},
            "two_passes false": {"two_passes": False},
            **{
                f"second_pass {p}, class_share {x}, beta {b}, post_block {n}": {
                    "second_pass": p, "class_share": x, "beta": b, "post_block": n,
                }
                for p in ((4, 5), (5, 5)) for x in (0.05, 0.1) for b in (0.6, 0.75) for n in (2, 4)
            },
        },
        lambda changes: {"decoder": replace(CALIBRATED, **changes)},
    ),
    "ProxyCLIP": (
        {
            "as published": {},
            **{f"gamma {x}": {"gamma": x} for x in (6.0, 10.0, 15.0, 20.0, 40.0)},
            **{f"beta {b}, gamma {g}": {"beta": b, "gamma": g} for b in (0.8, 1.5) for g in (3.0, 10.0, 20.0)},
        },
        lambda changes: {"decoder": ProxyCLIP("demo", "demo", **changes)},
    ),
    "GLA-CLIP": (
        {
            "as published": {},
            **{f"rho {x}": {"rho": x} for x in (0.7, 0.85, 0.95)},
            **{f"rho {r}, gamma {g}": {"rho": r, "gamma": g} for r in (0.7, 0.85, 0.95) for g in (10.0, 20.0)},
            "rho 0.95, gamma 40.0": {"rho": 0.95, "gamma": 40.0},
            **{
                f"rho {r}, gamma {g}, beta_by_windows 0": {"rho": r, "gamma": g, "beta": 1.2, "beta_by_windows": 0.0}
                for r in (0.7, 0.85) for g in (10.0, 20.0)
            },
            "no proxy, gamma 20": {"proxy": False, "gamma": 20.0, "gamma_by_matches": 0.0},
        },
        lambda changes: {"decoder": GLACLIP("demo", "demo", **changes)},
    ),
    "LPOSS": (
        {
            "as published": {},
            **{f"k {k}": {"k": k} for k in (50, 100, 200)},
            **{f"k {k}, sigma {x}": {"k": k, "sigma": x} for k in (50, 100, 200) for x in (0.03, 0.1)},
            **{f"k 100, sigma 0.03, alpha {a}": {"k": 100, "sigma": 0.03, "alpha": a} for a in (0.7, 0.85)},
            **{f"k 100, sigma 0.03, gamma {g}": {"k": 100, "sigma": 0.03, "gamma": g} for g in (6.0, 12.0)},
            **{f"k 50, sigma 0.03, gamma {g}": {"k": 50, "sigma": 0.03, "gamma": g} for g in (6.0, 12.0)},
            "k 25, sigma 0.03": {"k": 25, "sigma": 0.03},
        },
        lambda changes: {"refiners": [LPOSS("demo", "demo", **changes)]},
    ),
    "LPOSS+ alone": (
        {
            "as published": {},
            **{f"tau {t}": {"tau": t} for t in (0.02, 0.05, 0.1)},
            **{f"tau {t}, neighbours 7": {"tau": t, "neighbours": 7} for t in (0.02, 0.05)},
            **{f"tau {t}, alpha 0.85": {"tau": t, "alpha": 0.85} for t in (0.02, 0.05)},
        },
        lambda changes: {"refiners": [LPOSSPlus(**changes)]},
    ),
    "PEARL's attention": (
        {f"alpha {x}": x for x in (0.0, 0.08, 0.3, 1.0, 2.0, 4.0)},
        lambda alpha: {"decoder": LastBlock(ProcrustesAttention(alpha))},
    ),
    "TLP": (
        {
            f"grid {n}, steps {s}": (n, s)
            for n, s in (
                (16, 25), (32, 25), (48, 25), (64, 25), (96, 25), (48, 10), (64, 10), (96, 10), (48, 5), (64, 5),
            )
        },
        lambda numbers: {"refiners": [TLP(*numbers)]},
    ),
    "class-token share": (
        {f"weight {x}": x for x in (-0.5, -0.4, -0.3, -0.2, -0.1, 0.1, 0.3)},
        lambda weight: {"prior": ClassTokenShare(weight)},
    ),
    "SegEarth-OV": (
        {f"weight {x}": x for x in (-0.5, -0.4, -0.3, -0.2, -0.1, 0.1)},
        lambda weight: {"decoder": LastBlock("segearth"), "prior": ClassTokenShare(weight)},
    ),
    "presence prior": (
        {
            **{f"weight {x}": {"weight": x} for x in (0.05, 0.1, 0.25, 0.4)},
            **{
                f"weight {w}, text_share {m}, cut {h}": {"weight": w, "text_share": m, "cut": h}
                for w, m, h in (
                    *((0.05, m, 0.1) for m in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)),
                    *((0.05, 0.05, 0.3), (0.05, 0.2, 0.3), (0.1, 0.05, 0.1), (0.1, 0.2, 0.1), (0.1, 0.4, 0.1)),
                )
            },
        },
        lambda changes: {"prior": replace(PRIOR, **changes)},
    ),
    "region vote": (
        {
            "the maker's defaults": {},
            **{f"scale {x}": {"scale": x} for x in (25.0, 50.0, 200.0, 400.0)},
            **{f"sigma {x}": {"sigma": x} for x in (0.0, 0.8)},
            **{f"min_size {n}": {"min_size": n} for n in (20, 100, 200, 400)},
            **{
                f"scale {x}, min_size {n}": {"scale": x, "min_size": n}
                for x in (50.0, 200.0) for n in (100, 200, 400)
            },
            "scale 200.0, unassigned smallest": {"scale": 200.0, "unassigned": "smallest"},
        },
        lambda changes: voted(**changes),
    ),
    "CorrCLIP": (
        {
            **IN_SEGMENTS,
            **{
                f"tau {t}, alpha {a}, beta {b}": {"tau": t, "alpha": a, "beta": b}
                for t in (20.0, 40.0) for a in (0.0, 0.5) for b in (1.0, 2.0)
            },
        },
        lambda changes: {"decoder": CorrCLIP("demo", "demo", **changes), **voted(scale=200.0)},
    ),
    "OV-Stitcher": (
        {
            **IN_SEGMENTS,
            **{
                f"tau {t}, alpha {a}, beta {b}": {"tau": t, "alpha": a, "beta": b}
                for t in (20.0, 40.0) for a in (0.0, 0.25) for b in (0.5, 1.0, 2.0)
            },
        },
        lambda changes: {"decoder": OVStitcher("demo", "demo", **changes), **voted(scale=200.0)},
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--methods", nargs="+", choices=list(CANDIDATES), default=list(CANDIDATES), metavar="METHOD")
    given = parser.parse_args()
    torch.set_num_threads(1)
    candidates = {
        f"{method}: {name}": build(numbers)
        for method in given.methods
        for values, build in [CANDIDATES[method]]
        for name, numbers in values.items()
    }
    for name, score in scores(candidates, given.scenes).items():
        print(f"{100 * score:6.2f}  {name}")


def scores(candidates: dict[str, dict], scenes: int) -> dict[str, float]:
    """MIoU of each candidate over validation scenes."""
    model = yaml.safe_load((Path(__file__).parent.parent / "configs/demo.yaml").read_text())["model"]
    vocabulary, clip = Vocabulary.of(Demo.published), load_clip("demo", "demo")
    common = {"architecture": "demo", "weights": "demo", "templates": model["templates"]}
    texts, segmentors, makers = None, {}, {}
    for name, parts in candidates.items():
        makers[name] = parts.pop("maker", None)
        settings = resolve(SegmentorOptions(**common, **parts), vocabulary)
        texts = texts or build_text_bank(clip, vocabulary.synonyms, settings.templates, torch.device("cpu"))
        segmentors[name] = build_segmentor(load_networks(clip, settings.parts), texts, settings)
    segment = {maker: maker.load(torch.device("cpu")).segment for maker in {*makers.values()} if maker}
    classes = len(vocabulary.names)
    counts = {name: torch.zeros(classes, classes, dtype=torch.int64) for name in candidates}
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder) / "val", "val", scenes)
        data = Demo(root=str(Path(folder) / "val"), num_workers=0)
        data.use(settings.protocol)
        data.setup("test")
        for number in range(scenes):
            sample = data.dataset[number]
            true, scored = sample["mask"], sample["mask"] < classes
            rgb = sample["rgb"].permute(1, 2, 0).contiguous().numpy()
            regions = {None: None} | {maker: torch.from_numpy(make(rgb)).long() for maker, make in segment.items()}
            for name, segmentor in segmentors.items():
                labels = segmentor.predict(sample["image"], tuple(true.shape), None, regions[makers[name]]).labels
                pairs = true[scored].long() * classes + labels[scored]
                counts[name] += pairs.bincount(minlength=classes**2).view(classes, classes)
    return {name: mean_iou(matrix) for name, matrix in counts.items()}


def mean_iou(matrix: torch.Tensor) -> float:
    hit = matrix.diagonal().double()
    return float((hit / (matrix.sum(0) + matrix.sum(1) - hit)).nanmean())


if __name__ == "__main__":
    main()
