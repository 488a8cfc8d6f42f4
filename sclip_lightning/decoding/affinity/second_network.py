"""CLIP's values on the patches of a second network, and from there to the texts: what its decoders have in common."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.towers import ClipTower, FeatureTower, Trunk, load_features
from sclip_lightning.windows import Decoder, Scene, WindowGrid
from sclip_lightning.windows.merge import ACCELERATOR_BLOCK, CPU_BLOCK

__all__ = [
    "SecondNetworkDecoder",
    "mean_cosine",
    "merged_at",
    "square_blocks",
    "to_text_space",
    "values_on",
]


@dataclass(frozen=True)
class SecondNetworkDecoder(Decoder):
    """A decoder whose tokens lie on the patches of a second network, and which does not look at the texts.

    Args:
        network: The second network: a DINO, DINOv2 or DINOv3 by timm's name, such as vit_small_patch16_224.dino;
            local-dir:FOLDER with timm's config.json and model.safetensors; or demo.
        weights: published (on the Hugging Face Hub, or in the network's folder), demo, or the path of a checkpoint.
            Null, random weights, is accepted only together with random CLIP weights.
    """

    gives = ()

    #: The second network's name among the scene's.
    dino: ClassVar[str] = "dino"

    network: str = "vit_base_patch8_224.dino"
    weights: str | None = "published"

    @property
    def networks(self) -> tuple[str, ...]:
        """The second one."""
        return (self.dino,)

    def load_network(self, name: str, width: int) -> FeatureTower:
        """Load it; its features have a width of their own."""
        del name, width
        return load_features(self.network, self.weights)

    @property
    def reads_texts(self) -> bool:
        """It does not."""
        return False

    def cell_size(self, networks: Mapping[str, Any]) -> tuple[int, int]:
        """Patches of the second network."""
        second: FeatureTower = networks[self.dino]
        return second.patch_size


def values_on(grid: tuple[int, int], tower: ClipTower, trunk: Trunk) -> Tensor:
    """The values of CLIP's last block, patches alone, resized bilinearly to another grid window by window.

    Args:
        grid: Rows and columns wanted, n their product.
        tower: CLIP's; it may run under autocast.
        trunk: What the block starts from.

    Returns:
        [B, n, D], the heads side by side; under autocast the dtype may be lower than float32.
    """
    _, _, v = tower.project(trunk.x, tower.depth)
    maps = v[:, :, trunk.prefix :].transpose(2, 3).flatten(1, 2).unflatten(2, trunk.grid)
    return F.interpolate(maps, grid, mode="bilinear", align_corners=False).flatten(2).mT


def to_text_space(tower: ClipTower, mixed: Tensor) -> Tensor:
    """Mixed values [B, n, D] through the last block's output projection, the final norm and the text projection.

    Neither the block's residual connections nor its MLP take part. Returns [B, n, E], not normalised.
    """
    return tower.to_text_space(tower.output(mixed[:, None], tower.depth))  # heads side by side are as good as one


def merged_at(scene: Scene) -> WindowGrid:
    """Where the windows lie; of an image taken whole, logits go from its cells to the output's size at once."""
    grid, size = scene.windows.grid, scene.output_size
    return WindowGrid(size, size, (0,), (0,), whole=True) if grid.whole else grid


def mean_cosine(keys: Tensor) -> Tensor:
    """The mean of all N x N cosines of keys [B, N, C] of length 1, without making them; [B] float32."""
    return (keys.double().sum(dim=1).square().sum(dim=-1) / keys.shape[1] ** 2).float()


def square_blocks(count: int, number: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Which of ``count`` windows, and which rows of their ``number`` x ``number`` maps, to make together.

    Blocks follow each other and bound memory: some windows whole, or some rows of one.
    """
    budget = CPU_BLOCK if device.type == "cpu" else ACCELERATOR_BLOCK
    together, rows = max(budget // number**2, 1), max(budget // number, 1)
    for window in range(0, count, together):
        for row in range(0, number, rows):
            yield slice(window, window + together), slice(row, min(row + rows, number))
