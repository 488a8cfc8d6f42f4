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

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import above, at_least, between
from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import Scene, Tokens, WindowDecoder

__all__ = ["SCCLIP", "outliers", "repaired", "similarity_weights"]


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
        last, blocks = tower.depth, self.blocks(tower.depth)
        passes = range(blocks.second_pass[0], blocks.second_pass[1] + 1) if self.two_passes else ()
        trunk = tower.trunk(pixels, keep={blocks.similarity, blocks.post, *passes})
        with torch.autocast(pixels.device.type, enabled=False):  # neighbours and thresholds are discrete
            z, alike = trunk.x[:, trunk.prefix :].float(), trunk.blocks[blocks.similarity][:, trunk.prefix :].float()
            if self.repair:
                wrong = outliers(z, self.neighbours, self.outlier_share)
                z, alike = repaired(z, wrong, trunk.grid), repaired(alike, wrong, trunk.grid)
            similarity = _cosines(alike)
            if self.aggregate:
                z = similarity_weights(similarity, self.beta) @ z
            centred = self.factor * (similarity - similarity.mean(dim=(1, 2), keepdim=True))
            shared = centred.masked_fill(centred < 0, -torch.inf).softmax(dim=-1)
            sources = [(z, trunk.x[:, 0].float())]
            if self.two_passes:
                total = torch.stack([trunk.blocks[number].float() for number in passes]).sum(dim=0)
                sources.append((total[:, trunk.prefix :], total[:, 0]))
            passed = [self._attended(tower, x, token, shared, blocks.class_share) for x, token in sources]
            mixed = torch.stack(passed).sum(dim=0)
            if self.aggregate_after:
                after = similarity_weights(_cosines(trunk.blocks[blocks.post][:, trunk.prefix :].float()), self.beta)
                mixed = after @ mixed
        features = tower.to_text_space(mixed).unflatten(1, trunk.grid)
        values = None
        if keep_values:
            _, _, v = tower.project(trunk.x, last)
            values = tower.to_text_space(tower.output(v, last))[:, trunk.prefix :].unflatten(1, trunk.grid)
        return Tokens(features, scene.windows.grid, None, values)

    def _attended(self, tower: ClipTower, x: Tensor, class_token: Tensor, shared: Tensor, share: float) -> Tensor:
        """The last attention on patches [B, N, D] alone, by keys and by likeness, and a share of the class token."""
        _, k, v = tower.project(x, tower.depth)
        by_keys = F.scaled_dot_product_attention(k, k, v)
        by_similarity = (shared @ v.transpose(1, 2).flatten(2)).unflatten(2, (v.shape[1], -1)).transpose(1, 2)
        return tower.output((by_similarity + by_keys) / 2, tower.depth) + share * class_token[:, None]


def outliers(x: Tensor, neighbours: int = 30, share: float = 0.05) -> Tensor:
    """Patches that lie apart from the others; a local outlier factor on squared distances, as the released code has it.

    Args:
        x: [B, N, D] float32.
        neighbours: How many of a patch's nearest others it is compared with; fewer where there are fewer.
        share: Scores above this upper quantile are outliers.

    Returns:
        [B, N] bool; none where fewer than three patches are there or all scores are equal.
    """
    number = x.shape[1]
    if number < 3:
        return x.new_zeros(x.shape[:2], dtype=torch.bool)
    # Differences from the mean: the product form of the distance loses fewer digits.
    x = x - x.mean(dim=1, keepdim=True)
    squares = x.square().sum(dim=-1)
    distance = (squares[:, :, None] + squares[:, None] - 2 * x @ x.mT).clamp_(min=0)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest, index = distance.topk(min(neighbours, number - 1), dim=-1, largest=False)
    reach = nearest[..., -1]
    others = reach[:, None].expand(-1, number, -1).gather(2, index)
    ratio = torch.where(others > 0, reach[..., None] / others, torch.where(reach[..., None] > 0, torch.inf, 1.0))
    scores = ratio.mean(dim=-1)
    return scores > scores.quantile(1 - share, dim=1, keepdim=True)


def repaired(x: Tensor, wrong: Tensor, grid: tuple[int, int]) -> Tensor:
    """Replace patches by the mean of those around them that are not replaced themselves; those without any stay.

    Args:
        x: [B, N, D] float32 patches row by row.
        wrong: [B, N] bool, those to replace.
        grid: (rows, columns), N their product.

    Returns:
        [B, N, D] float32.
    """
    right = (~wrong)[..., None].float()
    maps = torch.cat([x * right, right], dim=-1).mT.unflatten(2, grid)
    sums = (F.avg_pool2d(maps, 3, stride=1, padding=1, divisor_override=1)).flatten(2).mT
    around, count = sums[..., :-1], sums[..., -1:]
    return torch.where(wrong[..., None] & (count > 0), around / count.clamp(min=1), x)


def similarity_weights(similarity: Tensor, beta: float) -> Tensor:
    """Rows of weights [B, N, N] from cosines: those below ``beta`` count 0, and a row adds up to 1 but for 1e-6."""
    kept = similarity.masked_fill(similarity < beta, 0)
    return kept / (kept.sum(dim=-1, keepdim=True) + 1e-6)


def _cosines(x: Tensor) -> Tensor:
    unit = F.normalize(x, dim=-1)
    return unit @ unit.mT
