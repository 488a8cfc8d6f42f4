"""The NAF network (Chambon et al., CVPR 2026, arXiv 2511.18452): what of an image belongs together, and nothing else.

It looks at the image alone. Two stacks of convolutions, of single pixels and of 3 x 3, describe each pixel; means over
the positions of the finer grid, turned by where these lie, are the queries, and their means over cells the keys. What
is upsampled takes no part, so that one network serves all backbones. Names follow the released file.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sclip_lightning.upsampling.networks.released import Release, fit, read_release

__all__ = ["HEADS", "KERNEL", "NAFNetwork", "load_naf"]

#: The authors' weights, one file for all backbones, and the name that stands for it.
RELEASE, PUBLISHED = Release("NAF", "valeoai/NAF", "model", "naf_release.pth"), "published"

#: Heads and cells of a row or column in a neighbourhood; the file does not say them.
HEADS, KERNEL = 4, 9
_GROUPS = 8  # of every GroupNorm
_MOST = 4  # an image with more pixels than this per position of the output, on either axis, is shrunk first


class Block(nn.Module):
    """Twice GroupNorm, SiLU and a convolution, without a residual."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, width)
        self.conv1 = _convolution(width, width, kernel)
        self.norm2 = nn.GroupNorm(_GROUPS, width)
        self.conv2 = _convolution(width, width, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` [B, C, H, W] to the same shape."""
        x = self.conv1(F.silu(self.norm1(x), inplace=True))
        return self.conv2(F.silu(self.norm2(x), inplace=True))


class Rotation(nn.Module):
    """Turns pairs of channels by angles that depend on the position: products then depend on distances alone."""

    periods: Tensor

    def __init__(self, pairs: int) -> None:
        super().__init__()
        half = pairs // 2  # of a head, for either axis
        self.register_buffer("periods", 100 ** (torch.arange(half) / half))

    def forward(self, maps: Tensor) -> Tensor:
        """Turn float32 ``maps`` [B, heads, D, H, W], channel c of a head with c + D / 2; same shape."""
        height, width = maps.shape[3:]
        turns = 2 * math.pi / self.periods.float()[:, None, None]
        down = (_centres(height, maps.device)[:, None] * turns).expand(-1, -1, width)
        across = (_centres(width, maps.device) * turns).expand(-1, height, -1)
        angles = torch.cat([down, across])
        cosine, sine = angles.cos(), angles.sin()
        first, second = maps.chunk(2, dim=2)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=2)


class ImageEncoder(nn.Module):
    """The two stacks and the rotation, under the names of the released file."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = _stack(width // 2, 1)
        self.sem_encoder = _stack(width // 2, 3)
        self.rope = Rotation(width // HEADS // 2)

    def forward(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Queries [B, heads, D, *size] float32 of an image [B, 3, H, W]."""
        # Pooled one after the other, so that a single stack's maps of the whole image exist at a time.
        pooled = [F.adaptive_avg_pool2d(stack(image), size).float() for stack in (self.encoder, self.sem_encoder)]
        with torch.autocast(image.device.type, enabled=False):
            turned: Tensor = self.rope(torch.cat(pooled, dim=1).unflatten(1, (HEADS, -1)))
        return turned


class NAFNetwork(nn.Module):
    """NAF; convolutions may run under autocast, everything after them is float32.

    Args:
        width: Channels of a query over all heads, a multiple of 16.

    Attributes:
        recallable: As for :class:`~sclip_lightning.towers.Tower`.
    """

    recallable: ClassVar[tuple[str, ...]] = ("queries",)

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder(width)

    def queries(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """What each position of a finer grid asks for.

        Args:
            image: [B, 3, H, W] float32 in ImageNet's normalisation, at least 2 x 2. More than four pixels per position
                are shrunk first, both axes to four times the shorter one's positions: an image that is not square
                loses its proportions, as in the authors' code.
            size: Rows and columns of positions.

        Returns:
            [B, heads, D, *size] float32; their products are to be multiplied by ``D ** -0.5``.
        """
        height, width = image.shape[2:]
        if height > _MOST * size[0] or width > _MOST * size[1]:
            side = _MOST * min(size)
            image = F.interpolate(image, (min(height, side), min(width, side)), mode="bilinear", align_corners=False)
        found: Tensor = self.image_encoder(image, size)
        return found


def load_naf(weights: str | None = PUBLISHED, width: int = 256) -> NAFNetwork:
    """Build NAF and load its weights, all of them or none; a file of another width is refused.

    Args:
        weights: ``published``, fetched from GitHub once, the path of a file, or None for random weights.
        width: Channels of a query over all heads; the released file has 256.

    Returns:
        The network on the CPU; its parameters take no gradients.

    Raises:
        CheckpointError: The file is not found, cannot be read or does not fit.
    """
    network = NAFNetwork(width).requires_grad_(False).eval()
    if weights is not None:
        state, path = read_release(RELEASE, weights, (PUBLISHED,))
        fit(network, state, path, RELEASE)
    return network


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect" if kernel > 1 else "zeros")


def _stack(width: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(_convolution(3, width, kernel), Block(width, kernel), Block(width, kernel))


def _centres(count: int, device: torch.device) -> Tensor:
    """Centres of cells on an axis from -1 to 1."""
    return torch.arange(0.5, count, device=device) / count * 2 - 1
