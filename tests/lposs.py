"""LPOSS's recording as the tests of both of its parts need it."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor

from sclip_lightning.decoding import LastBlock
from sclip_lightning.refine import LPOSS, LPOSSPlus
from sclip_lightning.towers import FeatureTower
from sclip_lightning.windows import Scene
from sclip_lightning.windows.colours import CLIP_MEAN, CLIP_STD
from tests.builders import BatchSegmentor, build_segmentor
from tests.golden import Recording
from tests.tiny_clip import from_state
from tests.tiny_dino import dino_from_state

GOLDEN = Recording("lposs")
#: As the recording's README has it, relative to the largest value.
FEATURES, GRAPH, PROPAGATED, PIXELS, LABELS = 5e-6, 5e-6, 1e-5, 5e-5, 0.9999
#: Parts of the small image, as the README has them: rows and columns.
PARTS = {"tiny": (slice(100), slice(150)), "whole": (slice(160), slice(144))}


def meta() -> dict[str, Any]:
    return GOLDEN.json()


def numbers(case: str) -> dict[str, Any]:
    """What a case such as ``small/lposs`` was made with; a variant's stands under its own name."""
    return meta().get(case) or meta()[f"{case}/lposs"]


def assert_near(actual: Tensor, expected: Tensor, tolerance: float = PROPAGATED) -> None:
    """Equal up to a share of the largest value."""
    assert actual.shape == expected.shape
    assert (actual.double() - expected.double()).abs().max() <= tolerance * expected.abs().max()


@cache
def clip() -> CLIP:
    made = meta()["_made"]["clip"]
    return from_state(GOLDEN.state("clip/"), made["heads"], quick_gelu=made["act"] != "gelu")


@cache
def dino() -> FeatureTower:
    return dino_from_state(GOLDEN.state("dino/"), meta()["_made"]["dino"]["heads"])


def lposs(case: str) -> LPOSS:
    hp = numbers(case)["hp"]
    return LPOSS(k=hp["k"], power=hp["pix_dist_pow"], **{name: hp[name] for name in ("gamma", "sigma", "alpha")})


def lposs_plus(case: str) -> LPOSSPlus:
    hp = numbers(case)["hp"]
    return LPOSSPlus(hp["r"], hp["tau"], hp["alpha"])


def image(case: str) -> Tensor:
    """[3, h, w] in CLIP's normalisation."""
    name = case.split("/")[0]
    rgb = GOLDEN.tensor("big/image_u8" if name == "big" else "small/image_u8").permute(2, 0, 1).float() / 255
    if name == "flat":
        height, width = numbers(case)["ori_shape"]
        rgb = rgb[:, :height, -width:]
    elif name in PARTS:
        rgb = rgb[(slice(None), *PARTS[name])]
    mean, std = torch.tensor([CLIP_MEAN, CLIP_STD])[..., None, None]
    return (rgb - mean) / std


def segmentor(case: str) -> BatchSegmentor:
    """The segmentor of a case, with LPOSS and, where it was used, LPOSS+."""
    made, prefix = numbers(case), "flat/" if case.startswith("flat/") else ""
    slide = {"crop": 0} if made["mode"] == "whole" else {"crop": made["crop_size"][0], "stride": made["stride"][0]}
    return build_segmentor(
        clip(),
        GOLDEN.tensor(f"{prefix}text/features"),
        GOLDEN.tensor(f"{prefix}text/query_idx").long(),
        decoder=LastBlock("maskclip", residual=True, padded=True),
        steps=[lposs(case), *([lposs_plus(case)] if made["hp"]["pixel_refine"] else [])],
        networks={LPOSS.dino: dino()},
        **slide,
    )


def scene(case: str) -> Scene:
    return segmentor(case).segmentor.scene(image(case), tuple(numbers(case)["ori_shape"]))


def propagated(case: str) -> Tensor:
    """[N, Q] after the patches' graph alone, at the authors' scale."""
    model = segmentor(case).segmentor
    model.sheet_steps = model.sheet_steps[:1]
    return model.sheet(scene(case)).logits.flatten(0, 2) / (1 - lposs(case).alpha)


def best_names(maps: Tensor, classes: Tensor) -> Tensor:
    """[C, H, W], the largest of each class's names among [Q, H, W]."""
    return torch.stack([maps[classes == index].amax(dim=0) for index in range(int(classes.max()) + 1)])


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps[None].double(), size, mode="bilinear", align_corners=False)[0]
