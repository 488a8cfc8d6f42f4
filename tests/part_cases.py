"""Every part that a room exports, put where a segmentor has a place for it: the cases of ``tests/test_parts.py``.

Parts are made without arguments, their networks with random weights and, where one may be chosen, small; numbers left
open are filled with what is published. Attentions that are rows of a table run through the decoder that takes them.
"""

import inspect
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints
from unittest import mock

import pytest
import torch

from sclip_lightning.decoding import Attention
from sclip_lightning.decoding.attention import AttentionName
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import resolve
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.upsampling.networks.anyup import load_anyup
from sclip_lightning.upsampling.networks.naf import load_naf
from sclip_lightning.vocabulary import Vocabulary
from sclip_lightning.windows import Decoder, MapStep, Scene, Sheet, SheetStep, Texts, WindowGrid, Windows
from sclip_lightning.windows import compare_with_texts as cosines_of
from tests.tiny_clip import example
from tests.tiny_dino import MICRO

ROOMS = {name: import_module(f"sclip_lightning.{name}") for name in ("decoding", "upsampling", "refine")}
#: Whatever the rooms export, by name, and the room of each.
EXPORTS = {name: getattr(room, name) for room in ROOMS.values() for name in room.__all__}
ROOM_OF = {name: room for room, module in ROOMS.items() for name in module.__all__}
#: What can be made of it; the rest are interfaces.
PARTS = [name for name, kind in EXPORTS.items() if not inspect.isabstract(kind)]
ATTENTIONS = get_args(AttentionName)
CASES = [*PARTS, *ATTENTIONS]
#: Which option of a segmentor takes a sheet step of a room.
OPTIONS = {"decoding": "prior", "upsampling": "upsampler", "refine": "refiners"}

#: Images [3, h, w] by name, and the size of their labels; windows have 64 pixels, patches 16.
SIZES = {
    "wide": ((80, 144), (70, 90)),
    "low": ((48, 112), (48, 112)),
    "flat": ((80, 64), (33, 40)),
    "cell": ((16, 16), (5, 7)),
}
#: Networks that are made small here, which no number of their parts does.
SMALL = {"naf": load_naf, "anyup": load_anyup}
CLASSES = Vocabulary.parse("cat, dog, grass, sky, tree")


def of_kind(*kinds: type) -> list[str]:
    """Names of the parts of certain kinds."""
    return [name for name in PARTS if issubclass(EXPORTS[name], kinds)]


def made(name: str) -> Any:
    """A part without arguments."""
    try:
        part = EXPORTS[name]()
    except TypeError as error:
        pytest.fail(f"{name} cannot be made without arguments ({error}). Give each of its fields a default.")
    small = {"weights": None, "network": MICRO}
    return replace(part, **{name: value for name, value in small.items() if hasattr(part, name)})


def held(part: Any) -> Decoder:
    """A decoder with a part, or the name of an attention, in a field that takes it."""
    kind = Attention if isinstance(part, str) else type(part)
    for decoder in of_kind(Decoder):
        for field, hint in get_type_hints(EXPORTS[decoder]).items():
            # To Python 3.10 tuple[int, ...] is a type, too, until one asks what it is the superclass of.
            classes = [one for one in get_args(hint) or [hint] if isinstance(one, type) and get_origin(one) is None]
            if issubclass(kind, tuple(classes)):
                return replace(made(decoder), **{field: part})
    return pytest.fail(f"{kind.__name__} is no decoder, sheet step or map step, and no decoder has a field for it.")


def options_of(case: str) -> SegmentorOptions:
    """The options of a segmentor with a part in its place."""
    part = made(case) if case in EXPORTS else case
    place: dict[str, Any] = {}
    if isinstance(part, MapStep) or (isinstance(part, SheetStep) and OPTIONS[ROOM_OF[case]] == "refiners"):
        place["refiners"] = [part]
    elif isinstance(part, SheetStep):
        place[OPTIONS[ROOM_OF[case]]] = part
    else:
        place["decoder"] = part if isinstance(part, Decoder) else held(part)
    return SegmentorOptions(weights=None, templates="none", crop=64, stride=32, **place)


@cache
def segmentor(case: str) -> SlidingWindowSegmentor:
    """The segmentor of these options, on a random CLIP."""
    clip, settings = example(), resolve(options_of(case), CLASSES)
    torch.manual_seed(0)
    named = [(part, name) for part in settings.parts for name in part.networks if name in SMALL]
    small = {part.source(name): SMALL[name](None, width=32) for part, name in named}
    networks = load_networks(SimpleNamespace(model=clip.model), settings.parts, small)
    return build_segmentor(networks, Texts(clip.queries, clip.classes), settings)


@cache
def image(name: str) -> dict[str, torch.Tensor]:
    """The network's input, the image itself and a map of segments."""
    (height, width), output = SIZES[name]
    generator = torch.Generator().manual_seed(1)
    pixels = example().image[0, :, :height, :width].clone()
    rgb = torch.randint(256, (3, *output), generator=generator, dtype=torch.uint8)
    regions = torch.randint(9, output, generator=generator)
    found = {"image": pixels, "rgb": rgb, "regions": regions}
    return {key: torch.full_like(value, 1) for key, value in found.items()} if name == "flat" else found


def scene_of(case: str, name: str = "wide", batch_size: int = 64) -> Scene:
    """An image with everything that a part may ask for."""
    segmentor(case).window_batch_size = batch_size
    return segmentor(case).scene(output_size=SIZES[name][1], **image(name))


def alone(scene: Scene, number: int) -> Scene:
    """The same with one of its windows."""
    grid = scene.windows.grid
    top, left = grid.tops[number // len(grid.lefts)], grid.lefts[number % len(grid.lefts)]
    one = WindowGrid(grid.image_size, grid.window_size, (top,), (left,), grid.margins)
    return replace(scene, windows=Windows(scene.windows.image, one, 1))


@torch.no_grad()
def sheet_of(case: str, scene: Scene) -> Sheet:
    """What a segmentor's first sheet step is given."""
    tokens = segmentor(case).decoder.decode(scene, keep_values=True)
    return Sheet(cosines_of(tokens.features, scene.texts), tokens.grid, tokens)


def maps_of(case: str, place: str, scene: Scene) -> torch.Tensor:
    """What a segmentor's only map step is given."""
    model = segmentor(case)
    logits = model.merged_logits(scene).full()
    probabilities = model.head.probabilities(logits, model.query_classes)
    return {"logits": logits, "probabilities": probabilities, "labels": probabilities.argmax(dim=0)}[place]


@torch.no_grad()
def results(case: str, scene: Scene) -> dict[str, torch.Tensor]:
    """All that a segmentor makes of an image: logits of ``windows`` windows, from which it makes the rest."""
    model, sheets = segmentor(case), []
    keep = mock.patch.object(model, "sheet", lambda given: sheets.append(type(model).sheet(model, given)) or sheets[-1])
    with keep:
        segmentation = model.predict(scene.pixels, scene.output_size, scene.rgb, scene.regions)
    (sheet,) = sheets
    return {
        "logits": sheet.logits,
        "windows": torch.tensor(len(sheet.grid)),
        "probabilities": segmentation.probabilities,
        "labels": segmentation.labels,
    }
