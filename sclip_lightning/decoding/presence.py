"""What the whole image shows, added to every patch: the presence prior, and texts moved towards what they name.

Kim et al., "Distilling Spectral Graph for Object-Context Aware Open-Vocabulary Semantic Segmentation" (CASS), CVPR
2025, arXiv 2411.17150, whose class token and texts are used here without its attention (MICV-yonsei/CASS at 228ecdd).
RF-CLIP takes the same with complete linkage. Both go with any decoder; no figure for the prior alone has been
published.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from sclip_lightning.ranges import above, between
from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import Scene, Sheet, SheetStep, compare_with_texts

__all__ = ["PresencePrior", "adjusted_texts", "class_embedding", "prior_logits", "text_clusters"]

Linkage = Literal["ward", "complete"]

#: Patches that a text is moved towards (released code).
PATCHES = 2


@dataclass(frozen=True)
class PresencePrior(SheetStep):
    """Adds CLIP's own answer for the image to the logits of its patches, and moves texts (Kim et al., CASS, CVPR 2025).

    CLIP is run once more, unchanged, on the whole resized image, unless the decoder has run it on what is looked at.

    Args:
        weight: Share of the class token's cosines in the logits, in [0, 1]; null takes what is published for the
            benchmark.
        text_share: How far the likeliest name of each cluster moves towards its two best patches of a window, in [0,
            1]; 0 leaves the texts alone, null likewise.
        cut: Distance, 1 - cosine, up to which names are one cluster, above 0; null likewise.
        linkage: How names are clustered: ward (CASS) or complete (RF-CLIP).
        per_window: Take the class token of each window instead of the image's (published for Cityscapes); null
            likewise.
    """

    option = "--model.prior"
    works_on = "tokens"

    weight: Annotated[float, between(0, 1)] | None = None
    text_share: Annotated[float, between(0, 1)] | None = None
    cut: Annotated[float, above(0)] | None = None
    linkage: Linkage = "ward"
    per_window: bool | None = None

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Change [W, r, c, Q] logits."""
        assert sheet.tokens is not None and self.weight is not None
        assert self.text_share is not None and self.cut is not None
        texts = scene.texts.queries
        prior = compare_with_texts(self._embedding(sheet, scene), scene.texts)
        features = sheet.tokens.features.flatten(1, 2)
        with torch.autocast(features.device.type, enabled=False):
            moved = texts.expand(len(features), -1, -1)
            if self.text_share > 0:
                clusters = text_clusters(texts, self.cut, self.linkage)
                moved = adjusted_texts(texts, prior, F.normalize(features.float(), dim=-1), clusters, self.text_share)
            logits = prior_logits(F.normalize(features.float(), dim=-1), moved, prior, self.weight)
        return replace(sheet, logits=logits.view(sheet.logits.shape))

    def _embedding(self, sheet: Sheet, scene: Scene) -> Tensor:
        """[W, E] of the windows, or [1, E] of the image; the decoder's where it has looked at the same pixels."""
        grid = scene.windows.grid
        whole = len(grid) == 1 and grid.padded_size == grid.image_size
        known = sheet.tokens.embedding if sheet.tokens else None
        if known is not None and len(known) == len(grid) and (self.per_window or whole):
            return known
        seen = scene.windows.chunks() if self.per_window else [scene.pixels[None]]
        return torch.cat([class_embedding(scene.networks["clip"], pixels) for pixels in seen])


def class_embedding(tower: ClipTower, images: Tensor) -> Tensor:
    """CLIP's embedding of whole images or windows [B, 3, H, W], of any size; [B, E], not normalised."""
    x = tower.trunk(images).x
    return tower.embedding(x, tower.project(x, tower.depth))


def text_clusters(texts: Tensor, cut: float, method: Linkage = "ward") -> Tensor:
    """Cluster names by the cosine distance of their embeddings.

    Ward's formula is fed the cosine distances as they are, as in the released code.

    Args:
        texts: [Q, E] float32, L2-normalised.
        cut: Distance up to which clusters are joined.
        method: Linkage.

    Returns:
        [Q] int64, the cluster of each name, numbered by first appearance.
    """
    if len(texts) == 1:
        return torch.zeros(1, dtype=torch.int64, device=texts.device)
    distance = (1 - texts.double() @ texts.double().T).clamp(min=0).fill_diagonal_(0)
    condensed = squareform(distance.cpu().numpy(), checks=False)
    found = fcluster(linkage(condensed, method), cut, criterion="distance").tolist()
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(found))}
    return torch.tensor([numbers[cluster] for cluster in found], device=texts.device)


def adjusted_texts(texts: Tensor, prior: Tensor, features: Tensor, clusters: Tensor, share: float) -> Tensor:
    """Move the likeliest name of each cluster towards the two patches of a window that are most like it.

    Args:
        texts: [Q, E] float32, L2-normalised.
        prior: [W, Q] float32 cosines of the class token, or [1, Q] where it is the image's.
        features: [W, N, E] float32, L2-normalised patches.
        clusters: [Q] int64.
        share: How far, in [0, 1].

    Returns:
        [W, Q, E] float32, L2-normalised.
    """
    members = clusters == torch.arange(int(clusters.max()) + 1, device=clusters.device)[:, None]
    likeliest = prior[:, None].masked_fill(~members, -torch.inf).argmax(dim=2)  # [W or 1, clusters]
    moves = torch.zeros_like(prior, dtype=torch.bool).scatter_(1, likeliest, True)[..., None]
    cosines = features @ texts.T
    best = cosines.topk(min(PATCHES, cosines.shape[1]), dim=1).indices.mT  # [W, Q, 2]
    rows = torch.arange(len(features), device=features.device)[:, None, None]
    seen = F.normalize(features[rows, best].mean(dim=2), dim=-1)
    return torch.where(moves, F.normalize((1 - share) * texts + share * seen, dim=-1), texts)


def prior_logits(features: Tensor, texts: Tensor, prior: Tensor, weight: float) -> Tensor:
    """Cosines of patches with texts, and a share of the prior.

    Args:
        features: [W, N, E] float32, L2-normalised.
        texts: [W, Q, E] float32, L2-normalised.
        prior: [W, Q] or [1, Q] float32.
        weight: Share of the prior, in [0, 1].

    Returns:
        [W, N, Q] float32.
    """
    return (1 - weight) * features @ texts.mT + weight * prior[:, None]
