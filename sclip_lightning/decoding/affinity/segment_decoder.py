"""What CorrCLIP and OV-Stitcher (arXiv 2411.10086, 2604.08110) share: their numbers, and what these ask of networks."""

from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

from sclip_lightning.decoding.affinity.second_network import SecondNetworkDecoder
from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import above, at_least, between
from sclip_lightning.towers import FeatureTower

__all__ = ["SegmentDecoder"]

#: How many middle blocks are averaged, by number of blocks (released code); all but four for others.
PUBLISHED = {12: 5, 24: 12, 32: 28}

S = TypeVar("S", bound="SegmentDecoder")


@dataclass(frozen=True)
class SegmentDecoder(SecondNetworkDecoder):
    """A decoder that mixes values inside the segments of a map, which a second network joins.

    Args:
        network: The second network: a DINO or DINOv2 by timm's name, such as vit_small_patch16_224.dino;
            local-dir:FOLDER with timm's config.json and model.safetensors; or demo.
        weights: As for :class:`SecondNetworkDecoder`.
        tau: Factor on the cosines in the attention.
        eps: Segments join whose distance is at most this: the greatest cosine of any two, less theirs.
        alpha: Share of the middle blocks.
        beta: Share of the segments' class tokens.
        middle_blocks: How many blocks are averaged, the last of them two before the last; null takes what is published
            for 12, 24 and 32 blocks, and 4 less than there are for others.
    """

    reads_regions = True

    tau: Annotated[float, above(0)] = 4.0
    eps: Annotated[float, between(0, 2)] = 0.2
    alpha: Annotated[float, at_least(0)] = 1.0
    beta: Annotated[float, at_least(0)] = 0.5
    middle_blocks: Annotated[int, at_least(1, whole=True)] | None = None

    def load_network(self, name: str, width: int) -> FeatureTower:
        """Load it; raises ConfigError where it does not compare queries and keys as they are."""
        loaded = super().load_network(name, width)
        if not loaded.compares_as_they_are:
            msg = (
                f"{type(self).__name__} reads queries and keys of the second network, and {self.network} turns or "
                "normalises these, as DINOv3 does, for which nobody published a form. Set --model.decoder.network to "
                "a DINO or DINOv2, such as vit_base_patch8_224.dino."
            )
            raise ConfigError(msg)
        return loaded

    def fitted(self: S, depth: int, patch_size: tuple[int, int]) -> S:
        """The same with the number of middle blocks of a tower of ``depth``; raises ConfigError where it has fewer."""
        del patch_size
        return replace(self, middle_blocks=len(self.blocks(depth)))

    def blocks(self, depth: int) -> range:
        """Numbers of the middle blocks of a tower of ``depth``, the last of which is two before the tower's last.

        Raises:
            ConfigError: There are not as many as are wanted, or none is left.
        """
        wanted = PUBLISHED.get(depth, depth - 4) if self.middle_blocks is None else self.middle_blocks
        if not 1 <= wanted <= depth - 2:
            msg = (
                f"{type(self).__name__} averages {wanted} middle blocks, but a tower of {depth} blocks has "
                f"{max(depth - 2, 0)} before its last two. Set --model.decoder.middle_blocks to at least 1 and at "
                "most that, or choose another --model.architecture."
            )
            raise ConfigError(msg)
        return range(depth - 1 - wanted, depth - 1)
