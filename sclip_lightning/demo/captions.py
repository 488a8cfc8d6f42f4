"""What a caption says about a scene, and the names of its classes."""

from collections.abc import Sequence

import numpy as np

from sclip_lightning.demo.scenes import Region

__all__ = ["SYNONYMS", "TEMPLATES", "write_caption"]

#: Names that captions use, by class; the class itself is the first.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "sky": ("sky", "clouds"),
    "water": ("water", "sea"),
    "grass": ("grass", "lawn"),
    "sand": ("sand", "beach"),
    "brick": ("brick", "wall"),
    "wood": ("wood", "planks"),
    "gravel": ("gravel", "stones"),
    "leaves": ("leaves", "foliage"),
    "house": ("house", "building"),
    "boat": ("boat", "ship"),
    "flower": ("flower", "blossom"),
}

#: How captions begin; also the prompt templates that the demo evaluates with.
TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "there is {}", "a scene with {}")

#: How often a caption names an object's colour. More often, and colours would be all that a network needs to learn.
_COLOUR_NAMED = 0.3

#: How often a caption with an object in it names a texture, too: captions are about their subject.
_TEXTURE_NAMED = 0.5


def write_caption(rng: np.random.Generator, regions: Sequence[Region]) -> str:
    """A sentence that names the regions given, in random order and with random synonyms.

    Objects are always named. Textures are always named where there is no object, else only half of the time.
    """
    subject = any(region.colour for region in regions)
    phrases = []
    for i in rng.permutation(len(regions)):
        region = regions[i]
        if subject and region.colour is None and rng.random() >= _TEXTURE_NAMED:
            continue
        names = SYNONYMS.get(region.name, (region.name,))
        name = names[rng.integers(len(names))]
        coloured = region.colour is not None and rng.random() < _COLOUR_NAMED
        phrases.append(f"{region.colour} {name}" if coloured else name)
    listed = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(listed)
