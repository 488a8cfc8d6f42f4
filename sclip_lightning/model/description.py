"""Saying in words what a segmentor computes, read off its parts rather than off the options they were made from."""

from dataclasses import asdict, fields
from typing import Any

from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers import FeatureTower
from sclip_lightning.towers.checkpoints import fingerprint
from sclip_lightning.windows import Part

__all__ = ["describe_part", "describe_segmentor"]


def describe_segmentor(segmentor: SlidingWindowSegmentor) -> dict[str, Any]:
    """Everything in a segmentor that its labels depend on, weights of CLIP excepted; one entry per choice."""
    decoder = segmentor.decoder
    steps = [*segmentor.sheet_steps, *segmentor.map_steps]
    hashes = {
        f"{name}_sha256": fingerprint(network)[:12] for name, network in segmentor.networks.items() if name != "clip"
    }
    weights = {
        f"{name}_weights": network.weights
        for name, network in segmentor.networks.items()
        if isinstance(network, FeatureTower)
    }
    return {
        "names": len(segmentor.queries),
        "crop": segmentor.crop or "whole image",
        "stride": segmentor.stride if segmentor.crop else "-",
        "padding": segmentor.padding if segmentor.crop and segmentor.padding > 1 else "-",
        "decoder": type(decoder).__name__,
        **{name: _value(value) for name, value in _numbers(decoder).items()},
        **asdict(segmentor.head),
        "steps": "; ".join(map(describe_part, steps)) or "none",
        **({"compiled": True} if getattr(segmentor.tower, "compiled", False) else {}),
        **weights,
        **hashes,
    }


def describe_part(part: Part) -> str:
    """The name of a part with all its numbers; a network's file is left out, since its hash says what it is."""
    numbers = ", ".join(f"{name} {_value(value)}" for name, value in _numbers(part).items())
    return f"{type(part).__name__} ({numbers})" if numbers else type(part).__name__


def _numbers(part: Any) -> dict[str, Any]:
    return {field.name: getattr(part, field.name) for field in fields(part) if field.name != "weights"}


def _value(value: Any) -> Any:
    if isinstance(value, Part):
        return describe_part(value)
    return "off" if value is None else value
