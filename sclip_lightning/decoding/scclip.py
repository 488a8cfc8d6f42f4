"""SC-CLIP: CLIP calibrated by itself. Outlying patches are repaired, and patches that middle blocks find alike agree.

Bai et al., "Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation", IEEE TIP 2025, arXiv 2411.15869; what
the paper leaves open follows the released code (SuleBai/SC-CLIP at 0417ba9). Other than there, windows need not be
square: a patch's place follows from the number of columns, not of rows.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.decoding.affinity.outliers import outliers, repaired
from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import above, at_least, between
from sclip_lightning.towers import ClipTower, Trunk
from sclip_lightning.windows import Scene, Tokens, WindowDecoder

__all__ = ["SCCLIP", "cosines", "similarity_weights"]


class Blocks(NamedTuple):
    """Which blocks SC-CLIP reads, counted from 1, and how much of the class token it adds: chosen per backbone."""

    similarity: int
    post: int
    second_pass: tuple[int, int]
    class_share: float


#: By number of blocks: ViT-B/16 (released configuration), ViT-L/14 (a comment in the first commit, repeated by the
#: author in the repository's issue 5).
PUBLISHED = {12: Blocks(9, 4, (4, 10), 0.3), 24: Blocks(17, 7, (9, 19), 0.1)}


@dataclass(frozen=True)
class SCCLIP(WindowDecoder):
    """SC-CLIP's last block (Bai et al., IEEE TIP 2025, arXiv 2411.15869). Everything is computed per window.

    Args:
        similarity_block: Block whose patches say which are alike; null takes what is published for 12 and 24 blocks.
        post_block: Block whose patches say which results are averaged at the end; null likewise.
        second_pass: First and last of the blocks whose sum passes through the last attention as well; null likewise.
        class_share: Share of the class token that is added to every patch; null likewise.
        beta: Cosines below it do not count as alike.
        factor: Factor on the cosines in the attention.
        neighbours: Nearest patches that an outlier is told by.
        outlier_share: Share of the patches that are outliers, in [0, 1].
        repair: Replace outliers by the mean of their neighbours in the image.
        aggregate: Average patches over those that are alike before the last attention, ...
        aggregate_after: ... and after it.
        two_passes: Add the second pass.

    Raises:
        ConfigError: The tower has another number of blocks and numbers are missing, or they do not fit it.
    """

    gives = ("values",)

    similarity_block: Annotated[int, at_least(1, whole=True)] | None = None
    post_block: Annotated[int, at_least(1, whole=True)] | None = None
    second_pass: Annotated[tuple[int, int], at_least(1, whole=True)] | None = None
    class_share: Annotated[float, between(-1e6, 1e6)] | None = None
    beta: Annotated[float, between(-1, 1)] = 0.4
    factor: Annotated[float, above(0)] = 3.0
    neighbours: Annotated[int, at_least(1, whole=True)] = 30
    outlier_share: Annotated[float, between(0, 1)] = 0.05
    repair: bool = True
    aggregate: bool = True
    aggregate_after: bool = True
    two_passes: bool = True

    @property
    def reads_texts(self) -> bool:
        """It does not."""
        return False

    def blocks(self, depth: int) -> Blocks:
        """The numbers for a tower of ``depth`` blocks."""
        given = (self.similarity_block, self.post_block, self.second_pass, self.class_share)
        known: tuple[Any, ...] | None = PUBLISHED.get(depth)
        if None in given and known is None:
            msg = (
                f"SC-CLIP's authors published numbers for towers of {' and '.join(map(str, PUBLISHED))} blocks, but "
                f"this one has {depth}. Give --model.decoder.similarity_block, post_block, second_pass and class_share "
                "(ViT-B/16: 9, 4, [4, 10], 0.3)."
            )
            raise ConfigError(msg)
        chosen = Blocks._make(b if a is None else a for a, b in zip(given, known or given, strict=True))
        first, last = chosen.second_pass
        if not all(1 <= block < depth for block in (chosen.similarity, chosen.post, first, last)) or first > last:
            msg = (
                f"SC-CLIP reads blocks {chosen.similarity}, {chosen.post} and {first} to {last}, but they must lie in "
                f"1 to {depth - 1} of this tower, the first of the second pass not after its last. Change "
                "--model.decoder.similarity_block, post_block or second_pass."
            )
            raise ConfigError(msg)
        return chosen

    def fitted(self, depth: int, patch_size: tuple[int, int]) -> "SCCLIP":
        """The same with the numbers for a tower of ``depth`` blocks; raises ConfigError where they do not fit it."""
        del patch_size
        chosen = self.blocks(depth)
        return replace(
            self,
            similarity_block=chosen.similarity,
            post_block=chosen.post,
            second_pass=chosen.second_pass,
            class_share=chosen.class_share,
        )

    def decode_windows(self, pixels: Tensor, scene: Scene, keep_values: bool) -> Tokens:
        """Decode some windows; see :meth:`WindowDecoder.decode_windows`."""
        tower: ClipTower = scene.networks["clip"]
        trunk = tower.trunk(pixels, keep=self.reads(tower.depth))
        features = tower.to_text_space(self.calibrated(tower, trunk)).unflatten(1, trunk.grid)
        values = None
        if keep_values:
            _, _, v = tower.project(trunk.x, tower.depth)
            values = tower.to_text_space(tower.output(v, tower.depth))[:, trunk.prefix :].unflatten(1, trunk.grid)
        return Tokens(features, scene.windows.grid, None, values)

    def reads(self, depth: int) -> set[int]:
        """Numbers of the blocks whose outputs it needs, besides what the last block starts from."""
        blocks = self.blocks(depth)
        first, last = blocks.second_pass
        return {blocks.similarity, blocks.post, *(range(first, last + 1) if self.two_passes else ())}

    def calibrated(self, tower: ClipTower, trunk: Trunk) -> Tensor:
        """All stages on what :meth:`reads` has kept; patches [B, N, D] float32 before the final norm."""
        blocks = self.blocks(tower.depth)
        with torch.autocast(trunk.x.device.type, enabled=False):  # neighbours and thresholds are discrete
            z, similarity = self.repaired_and_averaged(trunk, blocks)
            centred = self.factor * (similarity - similarity.mean(dim=(1, 2), keepdim=True))
            shared = centred.masked_fill(centred < 0, -torch.inf).softmax(dim=-1)
            sources = [(z, trunk.x[:, 0].float())]
            if self.two_passes:
                passes = range(blocks.second_pass[0], blocks.second_pass[1] + 1)
                total = torch.stack([trunk.blocks[number].float() for number in passes]).sum(dim=0)
                sources.append((total[:, trunk.prefix :], total[:, 0]))
            passed = [self._attended(tower, x, token, shared, blocks.class_share) for x, token in sources]
            mixed = torch.stack(passed).sum(dim=0)
            if self.aggregate_after:
                after = similarity_weights(cosines(trunk.blocks[blocks.post][:, trunk.prefix :].float()), self.beta)
                mixed = after @ mixed
        return mixed

    def repaired_and_averaged(self, trunk: Trunk, blocks: Blocks) -> tuple[Tensor, Tensor]:
        """What the last attention starts from, [B, N, D], and how alike the patches are, [B, N, N] cosines."""
        z, alike = trunk.x[:, trunk.prefix :].float(), trunk.blocks[blocks.similarity][:, trunk.prefix :].float()
        if self.repair:
            wrong = outliers(z, self.neighbours, self.outlier_share)
            z, alike = repaired(z, wrong, trunk.grid), repaired(alike, wrong, trunk.grid)
        similarity = cosines(alike)
        return similarity_weights(similarity, self.beta) @ z if self.aggregate else z, similarity

    def _attended(self, tower: ClipTower, x: Tensor, class_token: Tensor, shared: Tensor, share: float) -> Tensor:
        """The last attention on patches [B, N, D] alone, by keys and by likeness, and a share of the class token."""
        _, k, v = tower.project(x, tower.depth)
        by_keys = F.scaled_dot_product_attention(k, k, v)
        by_similarity = (shared @ v.transpose(1, 2).flatten(2)).unflatten(2, (v.shape[1], -1)).transpose(1, 2)
        return tower.output((by_similarity + by_keys) / 2, tower.depth) + share * class_token[:, None]


def similarity_weights(similarity: Tensor, beta: float) -> Tensor:
    """Rows of weights [B, N, N] from cosines: those below ``beta`` count 0, and a row adds up to 1 but for 1e-6."""
    kept = similarity.masked_fill(similarity < beta, 0)
    return kept / (kept.sum(dim=-1, keepdim=True) + 1e-6)


def cosines(x: Tensor) -> Tensor:
    """Of all pairs of rows of [B, N, D]; [B, N, N]."""
    unit = F.normalize(x, dim=-1)
    return unit @ unit.mT
