"""ProxyCLIP: what CLIP's last block says, mixed among the patches that a second network finds alike.

Lan et al., "ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation", ECCV 2024, arXiv 2408.04883;
what is computed follows the released code (mc-lan/ProxyCLIP at e7b767f). Other than there, windows need not be square,
and in a window without any contrast each patch keeps to itself, where that code gives NaN.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.decoding.affinity.second_network import (
    SecondNetworkDecoder,
    mean_cosine,
    merged_at,
    square_blocks,
    to_text_space,
    values_on,
)
from sclip_lightning.ranges import above, between
from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import Scene, Tokens, WindowDecoder

__all__ = ["ProxyCLIP", "proxy_mix"]


@dataclass(frozen=True)
class ProxyCLIP(SecondNetworkDecoder, WindowDecoder):
    """CLIP's values under the attention of a second network, on its grid (Lan et al., ECCV 2024, arXiv 2408.04883).

    Args:
        network: The second network: a DINO, DINOv2 or DINOv3 by timm's name, such as vit_small_patch16_224.dino;
            local-dir:FOLDER with timm's config.json and model.safetensors; or demo.
        weights: published (on the Hugging Face Hub, or in the network's folder), demo, or the path of a checkpoint.
            Null, random weights, is accepted only together with random CLIP weights.
        beta: Patches take part whose cosine is at least this many times the window's mean cosine.
        gamma: Factor on the cosines in the attention.
    """

    beta: Annotated[float, between(-1e6, 1e6)] = 1.2
    gamma: Annotated[float, above(0)] = 3.0

    def decode_windows(self, pixels: Tensor, scene: Scene, keep_values: bool) -> Tokens:
        """Decode some windows; see :meth:`WindowDecoder.decode_windows`."""
        del keep_values
        tower: ClipTower = scene.networks["clip"]
        features = scene.networks[self.dino].features(pixels)
        grid = features.shape[1], features.shape[2]
        values = values_on(grid, tower, tower.trunk(pixels))
        mixed = proxy_mix(features.flatten(1, 2), values, self.beta, self.gamma)
        return Tokens(to_text_space(tower, mixed).unflatten(1, grid), merged_at(scene))


def proxy_mix(features: Tensor, values: Tensor, beta: float, gamma: float) -> Tensor:
    """Mix the values of each window's patches by how alike the features are.

    The weights are a softmax over ``gamma`` times the cosines, without those below ``beta`` times the window's mean:
    a step, at which a rounding error moves a patch by up to 1e-3, so that cosines are float32 whatever the networks'
    precision. A patch always takes part in its own mix; otherwise, where all are so alike that even 1 is below the
    step, none would.

    Args:
        features: [B, N, C], of any length.
        values: [B, N, D].
        beta: Share of the mean below which patches take no part.
        gamma: Factor on the cosines.

    Returns:
        [B, N, D] of the values' dtype. Few rows of the [N, N] weights exist at a time.
    """
    with torch.autocast(features.device.type, enabled=False):
        keys, mixed = F.normalize(features.float(), dim=-1), torch.empty_like(values)
        mean = mean_cosine(keys)[:, None, None]
        for windows, rows in square_blocks(keys.shape[0], keys.shape[1], keys.device):
            scores = gamma * (keys[windows, rows] @ keys[windows].mT - beta * mean[windows])
            own = torch.arange(rows.start, rows.stop, device=scores.device)
            dropped = scores < 0
            dropped[:, own - rows.start, own] = False
            weights = scores.masked_fill_(dropped, -torch.inf).softmax(dim=-1)
            mixed[windows, rows] = weights.to(values.dtype) @ values[windows]
    return mixed
