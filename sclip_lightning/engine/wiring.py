"""From a test's options and data to its settings and segmentor, and to the words that describe them."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch import Trainer

from sclip_lightning.data.reading.layout import image_sizes
from sclip_lightning.data.reading.regions import unread_maps
from sclip_lightning.data.reading.segmentation_data import SegmentationData
from sclip_lightning.engine import evaluation
from sclip_lightning.engine.context import RunContext
from sclip_lightning.engine.datamodule import SegmentationDataModule
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import DEMO, cache_folder
from sclip_lightning.model import memory
from sclip_lightning.model.description import describe_segmentor
from sclip_lightning.model.likeness import alike, warning_of
from sclip_lightning.model.needs import check_memory, grows
from sclip_lightning.model.options import SegmentorOptions, parts_of
from sclip_lightning.model.refining import refined_size
from sclip_lightning.model.settings import Settings, resolve
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers import Clip, build_text_bank
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import Texts

__all__ = [
    "datamodule_of",
    "describe_protocol",
    "embed_classes",
    "memory_for",
    "name_parts",
    "notes_on",
    "notes_on_weights",
    "settle",
    "sizes_that_fit",
    "warnings_of",
]


def datamodule_of(trainer: Trainer) -> SegmentationDataModule:
    """The data module of the running test.

    Raises:
        ConfigError: The test was begun without one.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if not isinstance(datamodule, SegmentationDataModule):
        msg = "A test needs a benchmark's data module: trainer.test(module, SegmentationDataModule(VOC21(...)))."
        raise ConfigError(msg)
    return datamodule


def settle(options: SegmentorOptions, data: SegmentationData) -> Settings:
    """Settle every number of a test, and hand the data those that are about reading images and names.

    Raises:
        ConfigError: What can be refused before weights are loaded: windows that leave gaps, numbers that nobody gave,
            parts that read segment maps where there are none.
        DataError: There is no folder of segment maps where it should be.
    """
    settings = resolve(options, Vocabulary.of(data.benchmark), data.short_side)
    data.use(settings.protocol)
    data.read_regions(options.region_readers)
    return settings


def embed_classes(clip: Clip, settings: Settings, data: SegmentationData, device: torch.device) -> Texts:
    """Embeddings of the benchmark's class names."""
    return build_text_bank(clip, data.benchmark.synonyms, settings.templates, device, cache_folder())


def describe_protocol(
    clip: Clip,
    segmentor: SlidingWindowSegmentor,
    options: SegmentorOptions,
    data: SegmentationData,
    precision: str,
    sizes: Iterable[tuple[int, int]],
) -> dict[str, Any]:
    """Everything the scores depend on, images aside; one entry per choice.

    The size at which maps are refined is one where some image is larger: no benchmark's is under the default.
    """
    benchmark, templates = data.benchmark, options.templates
    side = segmentor.refine_side
    bounded = segmentor.refines_maps and any(refined_size(size, side) != size for size in sizes)
    return {
        **data.describe_data(),
        "classes": len(benchmark.classes),
        "class_file": benchmark.class_file,
        "class_file_sha256": benchmark.class_file_sha256[:12],
        "templates": templates if isinstance(templates, str) else " | ".join(templates),
        "short_side": data.resolved_short_side,
        "long_side": data.resolved_long_side,
        **describe_segmentor(segmentor),
        **({"refine_side": side} if bounded else {}),
        "architecture": clip.architecture,
        "architecture_sha256": clip.configuration_sha256[:12],
        "weights": clip.weights,
        "weights_sha256": clip.fingerprint[:12],
        "precision": precision,
    }


def name_parts(options: SegmentorOptions) -> str:
    """The parts that are switched on, by name."""
    attention = getattr(options.decoder, "attention", None)
    named = [] if attention is None else [attention if isinstance(attention, str) else type(attention).__name__]
    inside = parts_of(options.decoder).values()
    names = [type(part).__name__ for part in (options.decoder, *inside, *options.parts[1:])]
    return ", ".join(dict.fromkeys([names[0], *named, *names[1:]]))


def notes_on(options: SegmentorOptions, settings: Settings, data: SegmentationData) -> list[str]:
    """What a reader must know of benchmark, settings and weights before quoting a score."""
    return [*evaluation.notes_on(data.benchmark), *settings.notes, *notes_on_weights(options, data.benchmark.name)]


def warnings_of(
    segmentor: SlidingWindowSegmentor, options: SegmentorOptions, settings: Settings, data: SegmentationData
) -> list[str]:
    """What may be wrong: numbers, class names that these weights cannot tell apart, segment maps that no part reads."""
    unread = data.maps is not None and not options.region_readers
    names = warning_of(alike(segmentor, data.benchmark.synonyms))
    return [*settings.warnings, *names, *[unread_maps("--data.regions")] * unread]


def notes_on_weights(options: SegmentorOptions, benchmark: str) -> list[str]:
    """What a reader must know of the weights before quoting a score on a benchmark of that name."""
    if options.weights is None:
        return ["The weights are random: the scores say that everything runs, and nothing else."]
    if DEMO in (options.weights, options.architecture) and benchmark.casefold() != DEMO:
        return [
            "The weights are the demo's, which have seen drawn scenes only: scores on photographs mean nothing. Leave "
            "--model.weights out, or name others, for a CLIP that has seen photographs."
        ]
    return []


def sizes_that_fit(
    context: RunContext,
    segmentor: SlidingWindowSegmentor,
    options: SegmentorOptions,
    settings: Settings,
    data: SegmentationData,
) -> set[tuple[int, int]]:
    """All sizes that images have, where anything depends on them; none else. A collective.

    Raises:
        DataError: There is surely too little memory for the largest, and none are to be skipped.
    """
    names = len(segmentor.queries), len(data.benchmark.classes)
    if not (segmentor.refines_maps or grows(names, settings)):
        return set()
    sizes = context.ranks.on_first(lambda: image_sizes(data.dataset.files))
    if sizes and data.on_error == "stop":
        largest = max(sizes, key=lambda size: size[0] * size[1])
        device = segmentor.queries.device
        check_memory(f"The largest image of {data.benchmark.name}", largest, names, options, settings, device)
    return sizes


def memory_for(
    source: str, size: tuple[int, int], options: SegmentorOptions, data: SegmentationData
) -> AbstractContextManager[None]:
    """Where images are skipped, one that does not fit in memory is skipped as well; else its own error goes through."""
    return memory.memory_for(source, size, options) if data.on_error == "skip" else nullcontext()
