"""The demo's scenes and words, for a page that runs with the demo's weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from sclip_lightning.demo.benchmark import Demo
from sclip_lightning.demo.captions import SYNONYMS
from sclip_lightning.demo.scenes import CLASSES, draw_scene

__all__ = ["demo_classes", "demo_numbers", "write_examples"]

#: Test scenes that are shown as examples: the first, however well they are segmented.
SCENES = range(8)


def demo_classes() -> str:
    """All classes of the scenes as a user would type them."""
    words = ([name, *(word for word in SYNONYMS.get(name, ()) if word != name)] for name in CLASSES)
    return ", ".join("=".join(filter(None, [name, "|".join(others)])) for name, *others in words)


def demo_numbers() -> dict[str, Any]:
    """The sizes and the scale that the demo's CLIP was trained for, by the option's name."""
    protocol = Demo.published.protocol
    assert protocol is not None
    return {name: getattr(protocol, name) for name in ("short_side", "crop", "stride", "logit_scale")}


def write_examples(folder: Path, scenes: Sequence[int] = SCENES) -> list[Path]:
    """Draw scenes and write them into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"scene-{number}.png" for number in scenes]
    for number, file in zip(scenes, files, strict=True):
        Image.fromarray(draw_scene("test", number).image).save(file)
    return files
