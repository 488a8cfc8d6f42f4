"""OV-Stitcher: CorrCLIP with one attention over the whole image, whose windows are put together before it.

Moon, Oh, Ro, "OV-Stitcher: A Global Context-Aware Framework for Training-Free Open-Vocabulary Semantic Segmentation",
CVPR 2026 Findings, arXiv 2604.08110; what is computed follows the released code (atw617/OV-Stitcher at 91a9489). Other
than there, sums and everything that a threshold is held against are float32, and padded windows are placed by CLIP's
rule on both grids, where that code stops unless padding is whole patches. The vote at its end is a part of its own,
:class:`RegionVote <sclip_lightning.refine.RegionVote>`; its written descriptions of the classes are not here.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.decoding.affinity.second_network import to_text_space
from sclip_lightning.decoding.affinity.segment_decoder import SegmentDecoder
from sclip_lightning.decoding.affinity.segment_tokens import segment_tokens
from sclip_lightning.decoding.affinity.segments import mixed_in_segments, numbered, region_map, segments_joined
from sclip_lightning.decoding.affinity.stitching import Canvas
from sclip_lightning.towers import ClipTower, FeatureTower, Trunk
from sclip_lightning.windows import Scene, Tokens, WindowGrid, nearest

__all__ = ["OVStitcher", "across_image"]


@dataclass(frozen=True)
class OVStitcher(SegmentDecoder):
    """CLIP's values under attention inside an image's segments (Moon et al., CVPR 2026 Findings, arXiv 2604.08110).

    The windows pass through both networks by themselves; queries, keys and values are put together, and the last
    attention of each network, like those of CLIP's middle blocks, is that over all patches of the image.

    Args:
        network: The second network: a DINO or DINOv2 by timm's name, such as vit_small_patch16_224.dino.
        weights: published (on the Hugging Face Hub), or the path of a checkpoint. Null, random weights, is accepted
            only together with random CLIP weights.
        tau: Factor on the cosines in the attention.
        eps: Segments join whose distance is at most this: the greatest cosine of any two in the image, less theirs.
        alpha: Share of the middle blocks.
        beta: Share of the segments' class tokens.
        middle_blocks: How many blocks are averaged, the last of them two before the last; null takes what is published
            for 12, 24 and 32 blocks, and 4 less than there are for others.

    Raises:
        ConfigError: The tower has too few blocks, or the second network is a DINOv3.
    """

    def decode(self, scene: Scene, keep_values: bool = False) -> Tokens:
        """Decode all windows of an image; see :meth:`Decoder.decode`."""
        del keep_values
        tower: ClipTower = scene.networks["clip"]
        keys, grid = self.keys(scene)
        joined, in_windows = self.segments(scene, keys, grid)
        values, middle, tokens = self.stitched(scene, in_windows)
        both = torch.cat([values, values_of(tower, middle.flatten(0, 1)[None]).float().view_as(values)], dim=-1)
        both = F.interpolate(both.permute(2, 0, 1)[None], grid, mode="bilinear", align_corners=False)
        mixed = mixed_in_segments(keys[None], joined.flatten()[None], both.flatten(2).mT, self.tau)
        own, through_middle = (to_text_space(tower, one)[0].float() for one in mixed.chunk(2, dim=-1))
        # The norm before the text projection is taken of each by itself.
        features = own + self.alpha * through_middle + self.beta * tower.to_text_space(tokens[None])[0].float()
        size = scene.windows.grid.image_size
        return Tokens(features.view(1, *grid, -1), WindowGrid(size, size, (0,), (0,)))

    def keys(self, scene: Scene) -> tuple[Tensor, tuple[int, int]]:
        """What patches are compared by, [N, C] float32 of length 1, and the image's rows and columns of them."""
        second: FeatureTower = scene.networks[self.dino]
        canvas = Canvas(scene.windows.grid, second.patch_size)
        for pixels in scene.windows.chunks():
            canvas.add(second.last_block_inputs(pixels))
        return F.normalize(second.finish_last_block(canvas.mean()).float(), dim=-1), canvas.size

    def segments(self, scene: Scene, keys: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Where patches may mix, and where windows see a segment.

        Args:
            scene: The image.
            keys: [N, C] float32 of length 1.
            grid: The image's rows and columns of them.

        Returns:
            The segment of each key, [r, c] int64 after joining: 0 for the smallest number in the image, which stands
            for none, the others from 1 up. And that of each pixel of each window, [W, a, b]; margins have 0 where the
            smallest number is 0, and otherwise -1, which is no segment.
        """
        numbers = nearest(nearest(region_map(scene, "OVStitcher"), scene.windows.grid.image_size), grid)
        joined = segments_joined(keys, numbered(numbers.flatten()[None])[0], self.eps)
        joined = numbered(joined[None]).view(grid)
        in_windows = scene.windows.cut(joined[None] + 1)[:, 0] - 1  # margins are cut as 0
        return joined, in_windows.clamp(min=0) if numbers.min() == 0 else in_windows

    def stitched(self, scene: Scene, segments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What CLIP makes of the windows, put together.

        Args:
            scene: The image.
            segments: [W, a, b] int64 as :meth:`segments` gives them for windows.

        Returns:
            On CLIP's patches of the image the values of the last block [r, c, D] float32, and the mean of the middle
            blocks [r, c, D]; on those of the second network [n, D] float32 what the segments' class tokens become, 0
            where there is no segment.
        """
        tower: ClipTower = scene.networks["clip"]
        grid, patch, cell = scene.windows.grid, tower.patch_size, self.cell_size(scene.networks)
        cells = grid.padded_size[0] // cell[0], grid.padded_size[1] // cell[1]
        values, semantic = Canvas(grid, patch), Canvas(grid, cell)
        middle = {block: Canvas(grid, patch) for block in self.blocks(tower.depth)}
        start = 0
        for pixels in scene.windows.chunks():
            trunk = tower.trunk(pixels, keep=range(tower.depth - 1))
            values.add(patches_of(values_of(tower, trunk.x), trunk))
            for block, canvas in middle.items():
                x = trunk.blocks[block - 1]
                inputs = [x, *(one.transpose(1, 2).flatten(2) for one in tower.project(x, block))]
                canvas.add(patches_of(torch.cat(inputs, dim=-1), trunk))
            on_patches = nearest(segments[start : start + len(pixels)], trunk.grid)
            tokens = F.pad(segment_tokens(tower, trunk, on_patches.flatten(1)), (0, 0, 1, 0))  # first that of none
            # A cell's segment is that of the patch of CLIP's which it falls into.
            index = 1 + nearest(on_patches, cells).flatten(1)[..., None]
            semantic.add(tokens.gather(1, index.expand(-1, -1, tokens.shape[-1])).unflatten(1, cells))
            start += len(pixels)
        outputs = [across_image(tower, canvas.mean(), block) for block, canvas in middle.items()]
        average = torch.stack(outputs).mean(dim=0)
        return values.mean().unflatten(0, values.size), average.unflatten(0, values.size), semantic.mean()


def across_image(tower: ClipTower, inputs: Tensor, block: int) -> Tensor:
    """A block of CLIP whose patches all attend to each other, as the released code has it: with one head.

    Args:
        tower: CLIP's; it may run under autocast.
        inputs: [n, 4 * D], what enters the block, and its queries, keys and values, heads side by side.
        block: Its number.

    Returns:
        [n, D]; under autocast the dtype may be lower than float32.
    """
    x, *projections = inputs[None].chunk(4, dim=-1)
    q, k, v = (one[:, None] for one in projections)
    # The scale is still that of one of its many heads.
    return tower.finish(x, F.scaled_dot_product_attention(q, k, v, scale=tower.head_width**-0.5), block)[0]


def values_of(tower: ClipTower, x: Tensor) -> Tensor:
    """Values of the last block for what enters it, [B, N, D] in and out, heads side by side."""
    _, _, v = tower.project(x, tower.depth)
    return v.transpose(1, 2).flatten(2)


def patches_of(tokens: Tensor, trunk: Trunk) -> Tensor:
    """[B, r, c, D] the patches among tokens [B, p + n, D]."""
    return tokens[:, trunk.prefix :].unflatten(1, trunk.grid)
