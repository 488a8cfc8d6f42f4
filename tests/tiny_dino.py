"""Small networks of the DINO family: one that timm knows by name in tests, and those of recorded weights."""

import json
import math
from collections.abc import Callable
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from sclip_lightning.towers import FeatureTower
from tests.tiny_clip import from_state, layers


@register_model
def vit_micro_patch8_64_dino(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """Two blocks of 16 channels, trained on 8 x 8 patches of 8 pixels."""
    del pretrained
    sizes = {"img_size": 64, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    wanted = signature(VisionTransformer).parameters  # timm hands on its own business, too
    options = {name: value for name, value in options.items() if name in wanted}
    network = VisionTransformer(**(sizes | options))
    torch.nn.init.normal_(network.pos_embed, std=0.5)  # as drawn it is near 0, and how it is resized hardly matters
    return network


@register_model
def vit_micro_patch14_reg2_dinov2(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """The same with two registers, without a position for the class token, and with patches of 14 pixels."""
    sizes = {"img_size": 56, "patch_size": 14, "reg_tokens": 2, "no_embed_class": True, "init_values": 1.0}
    return vit_micro_patch8_64_dino(pretrained, **(sizes | options))


#: Their names, for ``--model.decoder.network`` and the like.
MICRO = vit_micro_patch8_64_dino.__name__
MICRO_WITH_REGISTERS = vit_micro_patch14_reg2_dinov2.__name__


def write_micro(path: Path, seed: int = 0) -> str:
    """Write weights of ``MICRO``; returns the path, which ``weights`` takes."""
    torch.manual_seed(seed)
    torch.save(vit_micro_patch8_64_dino(num_classes=0).state_dict(), path)
    return str(path)


def lposs_on(weights: str, plus: bool = False) -> str:
    """The option that gives LPOSS the network ``MICRO`` with these weights, and LPOSS+ after it."""
    steps = [{"class_path": "LPOSS", "init_args": {"network": MICRO, "weights": weights}}]
    return f"--model.refiners={json.dumps([*steps, *([{'class_path': 'LPOSSPlus'}] if plus else [])])}"


def dino_from_state(state: dict[str, Tensor], heads: int) -> FeatureTower:
    """The network of a state dict with DINO's names, sizes taken from its shapes."""
    patches = state["patch_embed.proj.weight"]
    network = VisionTransformer(
        img_size=math.isqrt(state["pos_embed"].shape[1] - 1) * patches.shape[-1],
        patch_size=patches.shape[-1],
        embed_dim=patches.shape[0],
        depth=layers(state, "blocks."),
        num_heads=heads,
        num_classes=0,
    )
    network.load_state_dict(state)
    return FeatureTower(network, "recorded", "recorded")


def recorded_networks(
    recording: Any, clip: str
) -> tuple[Callable[[], Any], Callable[[], CLIP], Callable[[], FeatureTower]]:
    """What a recording of a method with a second network says of itself, its CLIP and that network, each read once.

    Args:
        recording: A :class:`tests.golden.Recording`.
        clip: What the names of CLIP's weights begin with; those of the second network begin with ``dino/``.
    """
    meta = cache(recording.json)
    return (
        meta,
        cache(lambda: from_state(recording.state(clip), meta()["clip"]["heads"])),
        cache(lambda: dino_from_state(recording.state("dino/"), meta()["dino"]["heads"])),
    )
