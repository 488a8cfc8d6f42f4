"""Finer logits with AnyUp (Wimmer et al., "AnyUp: Universal Feature Upsampling", ICLR 2026, arXiv 2510.12764).

AnyUp (code: wimmerth/anyup at 351807a) mixes features of near cells with one set of weights for all channels. Here the
same weights mix logits, so that a position's logits are a convex mix of its sources and their text space is kept. The
weights depend on the image and on the decoder's tokens, which need no training of their own. No figure for this use is
published, and OpenAI's CLIP was not among the networks that it was trained on. The released variant with another
kernel, which takes other windows than the network was trained with, is left out.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.ranges import at_least
from sclip_lightning.upsampling.mixing.guided import GuidedUpsampler, together
from sclip_lightning.upsampling.mixing.neighbours import mixed_logits, within_share
from sclip_lightning.upsampling.networks.anyup import WINDOW_RATIO, AnyUpNetwork, load_anyup
from sclip_lightning.windows import Scene, Tokens
from sclip_lightning.windows.colours import imagenet_colours

__all__ = ["AnyUp", "anyup_logits"]


@dataclass(frozen=True)
class AnyUp(GuidedUpsampler):
    """Mixes the logits of near cells as image and tokens say (Wimmer et al., AnyUp, ICLR 2026, arXiv 2510.12764).

    Near are cells at most a tenth of the window away. It reads the tokens that the logits were made of, of any decoder.

    Args:
        weights: multi_backbone or paper for one of the authors' files, fetched from GitHub once, or the path of one.
            Null, random weights, is accepted only together with random CLIP weights.
        scale: Positions per patch and axis, up to the patch size. The network was trained at 2 on images of 224 pixels.
    """

    weights: str | None = "multi_backbone"
    scale: Annotated[int, at_least(1, whole=True)] = 2

    @property
    def networks(self) -> tuple[str, ...]:
        """AnyUp's own."""
        return ("anyup",)

    def load_network(self, name: str, width: int) -> AnyUpNetwork:
        """Load the network, which fits features of any width."""
        del name, width
        return load_anyup(self.weights)

    def finer(self, logits: Tensor, guidance: Tensor, tokens: Tokens | None, scene: Scene) -> Tensor:
        """Upsample the logits [B, Q, r, c] of some windows; see :meth:`GuidedUpsampler.finer`."""
        assert tokens is not None
        features = tokens.features.permute(0, 3, 1, 2)
        return anyup_logits(scene.networks["anyup"], imagenet_colours(guidance), features, logits, self.scale)


def anyup_logits(
    network: AnyUpNetwork, image: Tensor, features: Tensor, logits: Tensor, scale: int, share: float = WINDOW_RATIO
) -> Tensor:
    """Mix the logits of near cells at each position of a finer grid as an image and features say.

    Args:
        network: AnyUp.
        image: [B, 3, H, W] float32, what the cells cover, in ImageNet's normalisation; of any size.
        features: [B, C, h', w'] of any number of channels, in the order that they always have. On another grid than
            the logits they are resized bilinearly.
        logits: [B, Q, h, w] float32.
        scale: Positions per cell and axis.
        share: How far away cells may be that take part, as a share of the axis; 0 for all.

    Returns:
        [B, Q, h * scale, w * scale] float32.
    """
    cells = logits.shape[2], logits.shape[3]
    size = cells[0] * scale, cells[1] * scale
    rows, columns = (within_share(*axis, share, logits.device) for axis in zip(cells, size, strict=True))
    if features.shape[2:] != cells:
        features = F.interpolate(features.float(), cells, mode="bilinear", align_corners=False)
    number, finer = together(image), []
    for some, tokens, sources in zip(*(one.split(number) for one in (image, features, logits)), strict=True):
        queries, of_image = network.encoded(some, size, cells)
        keys = network.keys(of_image, tokens)
        finer.append(mixed_logits(queries, keys, sources, rows, columns, queries.shape[2] ** -0.5))
    return torch.cat(finer)
