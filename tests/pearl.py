"""PEARL's recording as both of its tests need it."""

import re
from functools import cache

from sclip_lightning.decoding import LastBlock, ProcrustesAttention
from sclip_lightning.refine import TLP
from tests.builders import build_head, build_segmentor
from tests.golden import Recording
from tests.tiny_clip import from_state

GOLDEN = Recording("pearl")
#: Of CLIP's heads in every recording.
HEAD_WIDTH = 64


@cache
def model():
    return from_state(GOLDEN.state("sd/"), GOLDEN.json()["width"] // HEAD_WIDTH)


def image():
    pixels = (GOLDEN.tensor("image_u8").float() - GOLDEN.tensor("mean")) / GOLDEN.tensor("std")
    return pixels.permute(2, 0, 1)[None]


def narrow():
    return image()[..., : GOLDEN.json()["img_width"]]


def box(name):
    if name == "whole":
        return image()
    top, left, height, width = GOLDEN.json()["boxes"][name]
    return narrow()[..., top : top + height, left : left + width]


def decoder(variant):
    numbers = GOLDEN.json()["variants"][variant]
    if numbers["attention"] != "pa":
        return LastBlock(numbers["attention"], numbers["residual_and_mlp"])
    iterations = numbers["iterations"] if numbers["polar"] == "newton_schulz" else None
    return LastBlock(ProcrustesAttention(numbers["alpha"], iterations), numbers["residual_and_mlp"])


def segmentor(variant, grid=None, **options):
    texts = GOLDEN.tensor("text/features"), GOLDEN.tensor("text/query_idx").long()
    slide = GOLDEN.json()["slide"]
    options = {"crop": slide["crop"], "stride": slide["stride"]} | options
    steps = [TLP(grid, GOLDEN.json()["tlp"]["cg_iterations"])] if grid else []
    return build_segmentor(model(), *texts, decoder=decoder(variant), steps=steps, **options)


def prediction(case, threshold=0.0):
    """Segmentor, image and output size of a case such as ``pa_tlp80_slide_ori``."""
    variant, _, grid, mode, size = re.fullmatch(r"(.+?)(_tlp(\d+))?_(slide|whole)_(\w+)", case).groups()
    head = build_head(GOLDEN.json()["logit_scale"], threshold)
    options = {"head": head} | ({"crop": 0} if mode == "whole" else {})
    images = {"whole": image, "slide": narrow}
    return segmentor(variant, grid and int(grid), **options), images[mode](), tuple(GOLDEN.json()[size])
