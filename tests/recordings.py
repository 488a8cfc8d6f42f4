"""The recordings that several tests share, as models, images and numbers."""

from dataclasses import dataclass
from functools import cache

import torch
from open_clip.model import CLIP
from torch import Tensor

from sclip_lightning.data.reading.benchmark import ClassNames
from tests.golden import Recording
from tests.tiny_clip import from_state

#: SCLIP's own code with four blocks, and ResCLIP's with twelve, which has every other attention too.
SCLIP, RESCLIP = Recording("sclip"), Recording("resclip")


@dataclass(frozen=True)
class Recorded:
    """What a recording was made with.

    Attributes:
        model: CLIP with the recorded weights.
        image: [1, 3, H, W] normalised.
        queries: [Q, E] unit vectors.
        classes: [Q] int64, the class of each query.
        crop: Side of a sliding window in pixels.
        stride: Distance between windows in pixels.
    """

    model: CLIP
    image: Tensor
    queries: Tensor
    classes: Tensor
    crop: int
    stride: int


@cache
def sclip() -> Recorded:
    """SCLIP's recording; its text tower was not recorded."""
    return Recorded(
        from_state(SCLIP.state("state/")),
        SCLIP.tensor("image"),
        SCLIP.tensor("text_features"),
        SCLIP.tensor("query_idx").long(),
        int(SCLIP["config/crop"]),
        int(SCLIP["config/stride"]),
    )


@cache
def resclip() -> Recorded:
    """ResCLIP's recording, with the whole image."""
    state = RESCLIP.state("sd/")
    ids, rows = state.pop("token_embedding.ids").long(), state.pop("token_embedding.rows")
    vocabulary = 49408  # CLIP's tokenizer; only the rows that occur were recorded
    state["token_embedding.weight"] = torch.zeros(vocabulary, rows.shape[1]).index_copy_(0, ids, rows)
    pixels = (RESCLIP.tensor("image_u8").float() - RESCLIP.tensor("mean")) / RESCLIP.tensor("std")
    settings = RESCLIP.json()
    return Recorded(
        from_state(state),
        pixels.permute(2, 0, 1)[None],
        RESCLIP.tensor("text/features"),
        RESCLIP.tensor("text/query_idx").long(),
        settings["slide_crop"],
        settings["slide_stride"],
    )


def resclip_box(name: str) -> Tensor:
    """The cut ``crop`` or ``small`` of ResCLIP's image, [1, 3, h, w]."""
    top, bottom, left, right = RESCLIP.json()[f"{name}_box_y0y1x0x1"]
    return resclip().image[..., top:bottom, left:right]


def resclip_wide() -> Tensor:
    """ResCLIP's image without its last columns, so that its width is a multiple of a patch; [1, 3, H, W]."""
    variant = RESCLIP.matches("slide/{variant}/{mode}/argmax")[0]
    height, width = RESCLIP["slide/{variant}/{mode}/argmax".format(**variant)].shape
    return resclip().image[..., :height, :width]


def resclip_sampled(maps: Tensor) -> Tensor:
    """The positions of full-size maps [..., H, W] that ResCLIP's recording keeps."""
    settings = RESCLIP.json()
    (top, left), step = settings["sample_offset"], settings["sample_step"]
    return maps[..., top::step, left::step]


def classes_of(recording: Recording, vocabulary: str) -> list[int]:
    """The class of every name in a recording's class file, as the package splits it."""
    synonyms = ClassNames.load(recording[f"{vocabulary}/class_lines"].tolist()).synonyms
    return [index for index, names in enumerate(synonyms) for _ in names]
