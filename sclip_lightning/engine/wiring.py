"""From a test's options and data to its networks and segmentor, and to the words that describe them."""

from typing import Any

import torch

from sclip_lightning.data import SegmentationDataModule
from sclip_lightning.files import cache_folder
from sclip_lightning.model.assembly import build_segmentor, build_tower, build_upsampler, window_of
from sclip_lightning.model.description import describe_segmentor
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers.checkpoints import Clip
from sclip_lightning.towers.clip import VisionTower
from sclip_lightning.towers.text import TextBank, build_text_bank, resolve_templates
from sclip_lightning.upsampling import LogitUpsampler
from sclip_lightning.windows.grid import check_sliding_window

__all__ = ["assemble", "build_networks", "check_choices", "describe_protocol", "embed_classes", "notes_on_weights"]


def check_choices(options: SegmentorOptions, data: SegmentationDataModule) -> None:
    """Raise ``ConfigError`` for what can be refused before weights are loaded: windows that leave gaps."""
    check_sliding_window(*window_of(options, data.protocol))


def build_networks(
    clip: Clip, options: SegmentorOptions, data: SegmentationDataModule
) -> tuple[VisionTower, LogitUpsampler | None]:
    """The vision tower and the upsampler, on the CPU."""
    return build_tower(clip, options, data.benchmark.resclip), build_upsampler(clip, options)


def embed_classes(
    clip: Clip, options: SegmentorOptions, data: SegmentationDataModule, device: torch.device
) -> TextBank:
    """Embeddings of the benchmark's class names."""
    templates = resolve_templates(options.templates)
    return build_text_bank(clip, data.benchmark.synonyms, templates, device, cache_folder())


def assemble(
    tower: VisionTower,
    upsampler: LogitUpsampler | None,
    bank: TextBank,
    options: SegmentorOptions,
    data: SegmentationDataModule,
) -> SlidingWindowSegmentor:
    """Put the segmentor together."""
    return build_segmentor(tower, upsampler, bank, options, data.protocol, data.benchmark.resclip)


def describe_protocol(
    clip: Clip,
    segmentor: SlidingWindowSegmentor,
    options: SegmentorOptions,
    data: SegmentationDataModule,
    precision: str,
) -> dict[str, Any]:
    """Everything the scores depend on, images aside; one entry per choice."""
    benchmark, templates = data.benchmark, options.templates
    return {
        "classes": len(benchmark.classes),
        "class_file": benchmark.class_file,
        "class_file_sha256": benchmark.class_file_sha256[:12],
        "templates": templates if isinstance(templates, str) else " | ".join(templates),
        "short_side": data.protocol.short_side,
        **describe_segmentor(segmentor),
        "architecture": clip.architecture,
        "weights": clip.weights,
        "weights_sha256": clip.fingerprint[:12],
        "precision": precision,
    }


def notes_on_weights(options: SegmentorOptions) -> list[str]:
    """What a reader must know of the weights before quoting a score."""
    if options.weights is None:
        return ["The weights are random: the scores say that everything runs, and nothing else."]
    return []
