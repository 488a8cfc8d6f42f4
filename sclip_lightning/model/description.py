"""Saying in words what a segmentor computes, read off its parts rather than off the options they were made from."""

from dataclasses import asdict
from typing import Any

from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers.checkpoints import fingerprint

__all__ = ["describe_segmentor"]


def describe_segmentor(segmentor: SlidingWindowSegmentor) -> dict[str, Any]:
    """Everything in a segmentor that its labels depend on, weights of the tower excepted; one entry per choice."""
    tower, upsampler = segmentor.tower, segmentor.upsampler
    loftup = "off"
    if upsampler:
        settings = {name: getattr(upsampler, name) for name in ("mode", "scale", "temperature", "radius")}
        loftup = _settings(settings | {"weights": f"sha256 {fingerprint(upsampler.network)[:12]}"})
    return {
        "names": len(segmentor.queries),
        "crop": segmentor.crop or "whole image",
        "stride": segmentor.stride if segmentor.crop else "-",
        "attention": tower.attention,
        **({"gaussian_std": tower.gaussian_std} if tower.attention == "naclip" else {}),
        "residual": tower.residual,
        **asdict(segmentor.head),
        "rcs": _settings(asdict(tower.residual_attention)) if tower.residual_attention else "off",
        "sfr": _settings(asdict(segmentor.feedback)) if segmentor.feedback else "off",
        "loftup": loftup,
        "refiners": "; ".join(map(str, segmentor.refiners)) or "off",
    }


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
