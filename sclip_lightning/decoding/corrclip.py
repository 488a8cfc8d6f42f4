"""CorrCLIP: what CLIP's last block says, mixed by a second network's likeness inside the segments of a given map.

Zhang, Liu, Tang, "CorrCLIP: Reconstructing Patch Correlations in CLIP for Open-Vocabulary Semantic Segmentation", ICCV
2025, arXiv 2411.10086; what is computed follows the released code (zdk258/CorrCLIP at 103bc18, folder CorrCLIPv1).
Other than there, numbers in a map may be of any size, and everything that a threshold is held against is float32. The
vote at its end is a part of its own, :class:`RegionVote <sclip_lightning.refine.RegionVote>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.decoding.affinity.second_network import (
    to_text_space,
    values_on,
)
from sclip_lightning.decoding.affinity.segment_decoder import SegmentDecoder
from sclip_lightning.decoding.affinity.segment_tokens import segment_tokens
from sclip_lightning.decoding.affinity.segments import mixed_in_segments, numbered, region_map, segments_joined
from sclip_lightning.towers import ClipTower, FeatureTower, Trunk
from sclip_lightning.windows import Scene, Tokens, nearest

__all__ = ["CorrCLIP"]


@dataclass(frozen=True)
class CorrCLIP(SegmentDecoder):
    """CLIP's values under a second network's attention, inside segments (Zhang et al., ICCV 2025, arXiv 2411.10086).

    Per window. Of the scene's segments those join that the second network finds alike. A patch's feature is the mix of
    its segment's values, plus the like of the mean of middle blocks, plus what a class token makes of the segment.

    Args:
        network: The second network: a DINO or DINOv2 by timm's name, such as vit_small_patch16_224.dino;
            local-dir:FOLDER with timm's config.json and model.safetensors; or demo.
        weights: published (on the Hugging Face Hub, or in the network's folder), demo, or the path of a checkpoint.
            Null, random weights, is accepted only together with random CLIP weights.
        tau: Factor on the cosines in the attention.
        eps: Segments join whose distance is at most this: the greatest cosine of any two in the window, less theirs.
        alpha: Share of the middle blocks.
        beta: Share of the segments' class tokens.
        middle_blocks: How many blocks are averaged, the last of them two before the last; null takes what is published
            for 12, 24 and 32 blocks, and 4 less than there are for others.

    Raises:
        ConfigError: The tower has too few blocks, or the second network is one like DINOv3.
    """

    def decode(self, scene: Scene, keep_values: bool = False) -> Tokens:
        """Decode all windows of an image, chunk by chunk; see :meth:`Decoder.decode`.

        A scene without regions counts as one without segments, and there is a warning.

        Raises:
            DataError: The regions have another size than the labels.
        """
        del keep_values
        map_, features, start = segment_map(scene), [], 0
        for pixels in scene.windows.chunks():
            chosen = slice(start, start + len(pixels))
            features.append(self.decode_chunk(pixels, scene.windows.cut(map_, chosen)[:, 0], scene.networks))
            start = chosen.stop
        return Tokens(torch.cat(features), scene.windows.grid)

    def decode_chunk(self, pixels: Tensor, segments: Tensor, networks: Mapping[str, Any]) -> Tensor:
        """Features of some windows.

        Args:
            pixels: [B, 3, a, b] float32.
            segments: [B, a, b] int64, any numbers.
            networks: The scene's.

        Returns:
            [B, r, c, E] float32 on the second network's grid.
        """
        tower: ClipTower = networks["clip"]
        keys, joined = self.keys_and_segments(pixels, segments, networks[self.dino])
        grid = joined.shape[1], joined.shape[2]
        trunk = tower.trunk(pixels, keep=range(tower.depth - 1))
        values = torch.cat([values_on(grid, tower, one) for one in (trunk, self.middle(tower, trunk))], dim=-1)
        mixed = mixed_in_segments(keys.flatten(1, 2), joined.flatten(1), values, self.tau)
        own, middle = (to_text_space(tower, one).float() for one in mixed.chunk(2, dim=-1))
        # A cell's segment is that of the patch of CLIP's which it falls into.
        on_patches = numbered(nearest(joined, trunk.grid).flatten(1))
        tokens = tower.to_text_space(segment_tokens(tower, trunk, on_patches)).float()
        index = nearest(on_patches.unflatten(1, trunk.grid), grid).flatten(1)[..., None]
        semantic = tokens.gather(1, index.expand(-1, -1, tokens.shape[-1]))
        # The norm before the text projection is taken of each by itself.
        return (own + self.alpha * middle + self.beta * semantic).unflatten(1, grid)

    def keys_and_segments(self, pixels: Tensor, segments: Tensor, second: FeatureTower) -> tuple[Tensor, Tensor]:
        """What patches are compared by, and where they may mix.

        Args:
            pixels: [B, 3, a, b] float32.
            segments: [B, a, b] int64, any numbers.
            second: The second network.

        Returns:
            Keys [B, r, c, C] float32 of length 1, and each one's segment [B, r, c] int64 after joining: 0 for the
            smallest number in the window, the others in the order of the numbers that they had.
        """
        keys = F.normalize(second.query_key_sums(pixels).float(), dim=-1)
        grid = keys.shape[1], keys.shape[2]
        found = numbered(nearest(segments, grid).flatten(1))
        joined = [segments_joined(k, s, self.eps) for k, s in zip(keys.flatten(1, 2), found, strict=True)]
        return keys, torch.stack(joined).unflatten(1, grid)

    def middle(self, tower: ClipTower, trunk: Trunk) -> Trunk:
        """The trunk with the mean of the middle blocks in the place of its last tokens."""
        blocks = self.blocks(tower.depth)
        return replace(trunk, x=torch.stack([trunk.blocks[block] for block in blocks]).mean(dim=0))


def segment_map(scene: Scene) -> Tensor:
    """The scene's segments as [1, H, W] int64 below 0, so that margins, which are 0, are a segment after all others."""
    regions = region_map(scene, "CorrCLIP")
    return (regions - regions.max() - 1)[None]
