"""GLA-CLIP: what CLIP's last block says, mixed among the patches of all windows of an image.

Lee et al., "Looking Beyond the Window: Global-Local Aligned CLIP for Training-free Open-Vocabulary Semantic
Segmentation", CVPR 2026, arXiv 2603.23030; what is computed follows the released code (2btlFe/GLA-CLIP at ba74915).
Other than there, windows need not be square, and everything is float32. The paper is quoted with rho 0.6; the released
script does not pass that on, so that the released command computes with 0.55, which is the default here. Of ClearCLIP
and SCLIP in the place of ProxyCLIP, which the paper reports, no release runs: their arithmetic is not known, and they
are not here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.decoding.affinity.second_network import SecondNetworkDecoder, merged_at, to_text_space, values_on
from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import above, at_least, between
from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import Scene, Tokens
from sclip_lightning.windows.merge import ACCELERATOR_BLOCK, CPU_BLOCK

__all__ = ["GLACLIP", "blocks", "proxies"]

#: Least rows of weights at a time: fewer would read all keys and values from memory for hardly any arithmetic.
FEWEST_ROWS = 128


@dataclass(frozen=True)
class GLACLIP(SecondNetworkDecoder):
    """CLIP's values under a second network's attention over all windows (Lee et al., CVPR 2026, arXiv 2603.23030).

    A patch asks with its proxy, the mean of the patches that resemble it. Of the cosines between proxy and all
    patches, those take part that are at least ``beta + beta_by_windows * ln(1 + L)`` times their mean, L being the
    number of windows; the factor on them is ``gamma + gamma_by_matches / n``, n patches having made the proxy.

    Args:
        network: The second network: a DINO, DINOv2 or DINOv3 by timm's name, such as vit_small_patch16_224.dino;
            local-dir:FOLDER with timm's config.json and model.safetensors; or demo.
        weights: published (on the Hugging Face Hub, or in the network's folder), demo, or the path of a checkpoint.
            Null, random weights, is accepted only together with random CLIP weights.
        rho: Patches whose cosine is above it resemble each other; the paper is quoted with 0.6.
        rounds: How often the proxy is made, each time of what resembles the one before.
        proxy: Ask with the proxy; otherwise with the patch itself, and the proxy only says how many resemble it.
        across_windows: Patches take part from all windows of the image; otherwise from their own, and L is 1.
        row_mean: The mean is that of the patch's own cosines, at least 0; otherwise that of all patches' with each
            other, which goes without the proxy only.
        beta: Share of the mean below which patches take no part, ...
        beta_by_windows: ... and what the logarithm of the number of windows adds to it.
        gamma: Factor on the cosines in the attention, ...
        gamma_by_matches: ... and what is added to it, divided by the number of patches that made the proxy.

    Raises:
        ConfigError: The mean is that of all patches although there is a proxy.
    """

    rho: Annotated[float, between(-1, 1)] = 0.55
    rounds: Annotated[int, at_least(1, whole=True)] = 2
    proxy: bool = True
    across_windows: bool = True
    row_mean: bool = True
    beta: Annotated[float, between(-1e6, 1e6)] = 1.0
    beta_by_windows: Annotated[float, between(-1e6, 1e6)] = 0.3
    gamma: Annotated[float, above(0)] = 1.0
    gamma_by_matches: Annotated[float, at_least(0)] = 30.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        if self.proxy and not self.row_mean:
            msg = (
                "GLACLIP's mean over all patches is that of the patches themselves, not of proxies. Set "
                "--model.decoder.proxy to false, too, or leave --model.decoder.row_mean true."
            )
            raise ConfigError(msg)

    def decode(self, scene: Scene, keep_values: bool = False) -> Tokens:
        """Decode all windows of an image; see :meth:`Decoder.decode`.

        The networks see some windows at a time, then the attention some rows. Besides one such step, memory holds the
        keys and the values of all patches.
        """
        del keep_values
        tower: ClipTower = scene.networks["clip"]
        keys, values = self.keys_and_values(scene)
        (count, *grid, _), keys = keys.shape, keys.flatten(1, 2)
        if self.across_windows:
            keys, values = keys.flatten(0, 1)[None], values.flatten(0, 1)[None]
        windows = count // len(keys)
        features = []
        for k, v in zip(keys, values, strict=True):
            for rows in blocks(k):
                with torch.autocast(k.device.type, enabled=False):
                    mixed = self.shares(k, rows, windows) @ v
                features.append(to_text_space(tower, mixed[None])[0])
        return Tokens(torch.cat(features).view(count, *grid, -1), merged_at(scene))

    def keys_and_values(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """What patches are compared by, [W, r, c, C] of length 1, and what is mixed, [W, r * c, D]; both float32."""
        tower: ClipTower = scene.networks["clip"]
        keys, values = [], []
        for pixels in scene.windows.chunks():
            features: Tensor = scene.networks[self.dino].features(pixels)
            grid = features.shape[1], features.shape[2]
            keys.append(F.normalize(features.float(), dim=-1))
            values.append(values_on(grid, tower, tower.trunk(pixels)).float())
        return torch.cat(keys), torch.cat(values)

    def shares(self, keys: Tensor, rows: slice, windows: int) -> Tensor:
        """What some patches take of the values of all.

        Thresholds are steps, at which a rounding error moves a patch by up to 1e-3, so that everything is float32,
        whatever autocast says around it.

        Args:
            keys: [M, C] float32 of length 1, those of all patches that take part.
            rows: Which R patches ask.
            windows: How many windows the M patches come from.

        Returns:
            [R, M] float32, not negative, rows adding up to 1. Memory holds twice as much on the way.
        """
        with torch.autocast(keys.device.type, enabled=False):
            queries, gamma = keys[rows], torch.tensor(self.gamma)
            if self.proxy or self.gamma_by_matches:
                found, matches = proxies(keys, rows, self.rho, self.rounds)
                queries = found if self.proxy else queries
                gamma = self.gamma + self.gamma_by_matches / matches[:, None]
            scores = queries @ keys.mT
            # The second is the mean of all M x M cosines, without making them.
            mean = scores.mean(dim=1, keepdim=True).clamp_(min=0) if self.row_mean else keys.mean(dim=0).square().sum()
            beta = self.beta + self.beta_by_windows * math.log(1 + windows)
            scores.sub_(beta * mean).mul_(gamma)
            # A row's maximum always takes part; otherwise, where all cosines are alike, nothing would.
            best = scores.amax(dim=1, keepdim=True)
            return scores.masked_fill_(scores < best.clamp(max=0), -torch.inf).softmax(dim=1)


def blocks(keys: Tensor) -> Iterator[slice]:
    """Rows [M] in blocks that bound memory; they depend on M alone."""
    budget = CPU_BLOCK if keys.device.type == "cpu" else ACCELERATOR_BLOCK
    step = max(budget // len(keys), FEWEST_ROWS)
    return (slice(start, start + step) for start in range(0, len(keys), step))


def proxies(keys: Tensor, rows: slice, rho: float, rounds: int) -> tuple[Tensor, Tensor]:
    """The mean of what resembles a patch, then of what resembles that mean, and so on.

    Where nothing does, it is the patch itself.

    Args:
        keys: [M, C] float32 of length 1.
        rows: Which R patches.
        rho: Keys resemble what they have a cosine above this with.
        rounds: How often; at least 1.

    Returns:
        Proxies [R, C] float32 of length 1, and [R] float32 how many keys each was made of, at least 1.
    """
    proxy = own = keys[rows]
    matches = keys.new_ones(len(own))
    for _ in range(rounds):
        chosen = (proxy @ keys.mT).gt_(rho)  # 0 and 1, in place
        matches = chosen.sum(dim=-1)
        total = torch.where(matches[:, None] > 0, chosen @ keys, own)
        proxy = F.normalize(total, dim=-1)
    return proxy, matches.clamp(min=1)
