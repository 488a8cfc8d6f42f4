"""Finer logits with LoftUp (Huang et al., ICCV 2025, arXiv 2504.14032): two ways to use it in training-free CLIP.

LoftUp's features are not promised to lie in CLIP's text space: they come after a ChannelNorm, a learned value path and
a last LayerNorm, and the second training stage fixes only similarities within an image (section 4.2).
:func:`affinity_logits` therefore uses them for similarities alone; :func:`direct_logits` is the naive reading. Both go
to logits band by band: at no scale does the upsampled feature map exist whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.ranges import at_least, between
from sclip_lightning.upsampling.mixing.guided import GuidedUpsampler
from sclip_lightning.upsampling.networks.loftup import QUERY_CHUNK, LoftUpNetwork
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from sclip_lightning.windows import Scene, Tokens

__all__ = ["LoftUp", "affinity_logits", "direct_logits"]


@dataclass(frozen=True)
class LoftUp(GuidedUpsampler):
    """Replaces patch logits by logits on a finer grid (Huang et al., LoftUp, ICCV 2025, arXiv 2504.14032).

    Args:
        weights: A local checkpoint, owner/repository/file on the Hugging Face Hub (with @commit, that version of
            it), or demo. Null, random weights, is accepted only together with random CLIP weights.
        mode: affinity mixes the patches' logits by the likeness of upsampled features; direct compares the upsampled
            features with the text, for which they were not trained; the attention then plays no part.
        scale: Positions per patch and axis, up to the patch size.
        temperature: Factor on the likeness in affinity, at least 0.
        radius: Patches at most this far away take part in affinity; null for all.
    """

    needs = ("values",)

    weights: str | None = "haiwen/loftup-clip/pytorch_model.bin"
    mode: Literal["affinity", "direct"] = "affinity"
    scale: Annotated[int, at_least(1, whole=True)] = 2
    temperature: Annotated[float, between(0, 1e6)] = 20.0
    radius: Annotated[int, at_least(0, whole=True)] | None = 2

    @property
    def networks(self) -> tuple[str, ...]:
        """LoftUp's own."""
        return ("loftup",)

    @property
    def discards_logits(self) -> bool:
        """Whether it makes logits of its own: whatever changed the patches' logits then changes nothing."""
        return self.mode == "direct"

    def load_network(self, name: str, width: int) -> LoftUpNetwork:
        """Load the network, for features of ``width`` channels."""
        del name
        return load_loftup(self.weights, dim=width)

    def finer(self, logits: Tensor, guidance: Tensor, tokens: Tokens | None, scene: Scene) -> Tensor:
        """Upsample the logits [B, Q, r, c] of some windows; see :meth:`GuidedUpsampler.finer`."""
        network: LoftUpNetwork = scene.networks["loftup"]
        assert tokens is not None and tokens.values is not None
        features = tokens.values.permute(0, 3, 1, 2)
        if self.mode == "direct":
            return direct_logits(network, features, guidance, scene.texts.queries, scale=self.scale)
        return affinity_logits(
            network,
            features,
            guidance,
            logits,
            scale=self.scale,
            temperature=self.temperature,
            radius=self.radius,
        )


def affinity_logits(
    network: LoftUpNetwork,
    features: Tensor,
    guidance: Tensor,
    logits: Tensor,
    *,
    scale: int = 2,
    temperature: float,
    radius: int | None = None,
    query_chunk: int = QUERY_CHUNK,
) -> Tensor:
    """Mix the patches' logits at each output position by how similar the upsampled features say they are.

    With y the upsampled feature of a position and k a patch's mean of y, the weights are softmax(temperature *
    cos(y, k)) over the patches. The mix is convex, so whatever ties the logits to the text is kept: constant logits
    stay constant, ``radius=0`` repeats each patch's logits, and equal y everywhere give the patches' plain mean.

    Args:
        network: The upsampler that was trained on these features.
        features: Float [B, C, h, w], as the network was trained on them, not L2-normalised. They may come from another
            attention than the logits.
        guidance: Float [B, 3, H, W], the same windows as images, in any normalisation. It is resized to the output
            grid with antialiasing, so that a position stands for its whole cell rather than for one pixel of it.
        logits: Float [B, Q, h, w] of the base method.
        scale: Output positions per patch and axis, 1 to the patch size.
        temperature: Factor of the cosines, >= 0: 0 weighs the patches equally, large values pick the most similar.
        radius: Only patches at most this many rows and columns from the position's own patch take part; None for all.
        query_chunk: Output positions computed at once. A window larger than that is computed twice, first for the
            means over its patches.

    Returns:
        fp32 [B, Q, h * scale, w * scale].
    """
    height, width = features.shape[2:]
    outputs = []
    for group, image, values in _groups(scale, query_chunk, features, guidance, logits):
        rows = _rows_per_band(group, scale, query_chunk)
        # A single band is kept for the second pass; several are computed again.
        whole = list(network.bands(group, image, rows)) if rows >= image.shape[2] else None
        keys = torch.cat([_patch_means(y, scale, width) for y in whole or network.bands(group, image, rows)], 1)
        keys, values = F.normalize(keys.float(), dim=-1), values.float().flatten(2).transpose(1, 2)
        mixed, first = [], 0
        for y in whole or network.bands(group, image, rows):
            last = first + y.shape[1] // (width * scale**2)
            near = None if radius is None else _near(first, last, height, width, scale, radius, y.device)
            with torch.autocast(y.device.type, enabled=False):  # rounded weights would not sum to 1
                queries = F.normalize(y.float(), dim=-1)
                mixed.append(F.scaled_dot_product_attention(queries, keys, values, near, scale=temperature))
            first = last
        outputs.append(torch.cat(mixed, 1))
    return torch.cat(outputs).transpose(1, 2).unflatten(2, (height * scale, width * scale))


def direct_logits(
    network: LoftUpNetwork,
    features: Tensor,
    guidance: Tensor,
    text: Tensor,
    *,
    scale: int = 2,
    query_chunk: int = QUERY_CHUNK,
) -> Tensor:
    """Cosine of the upsampled features with the text embeddings: the naive reading of LoftUp's output.

    The leading ChannelNorm is undone with the patches' own mean and standard deviation over channels, resized to the
    output grid. What the network itself does to the text alignment is not undone.

    Args:
        network: The upsampler that was trained on these features; no weight of its ChannelNorm may be 0.
        features: Float [B, C, h, w], as the network was trained on them, not L2-normalised.
        guidance: Float [B, 3, H, W], as in :func:`affinity_logits`.
        text: Float [Q, C], of any length.
        scale: Output positions per patch and axis, 1 to the patch size.
        query_chunk: Output positions computed at once.

    Returns:
        fp32 cosines [B, Q, h * scale, w * scale].
    """
    size = features.shape[2] * scale, features.shape[3] * scale
    norm = network.channelnorm.norm
    text = F.normalize(text.float(), dim=-1)
    outputs = []
    for group, image in _groups(scale, query_chunk, features, guidance):
        variance, mean = torch.var_mean(group.float(), 1, correction=0)
        moments = F.interpolate(torch.stack([(variance + norm.eps).sqrt(), mean], 1), size, mode="bilinear")
        cosines, first = [], 0
        for y in network.bands(group, image, _rows_per_band(group, scale, query_chunk)):
            last = first + y.shape[1]
            deviation, centre = moments.flatten(2)[:, :, first:last, None].unbind(1)
            with torch.autocast(y.device.type, enabled=False):
                restored = (y.float() - norm.bias) / norm.weight * deviation + centre
                cosines.append(F.normalize(restored, dim=-1) @ text.T)
            first = last
        outputs.append(torch.cat(cosines, 1))
    return torch.cat(outputs).transpose(1, 2).unflatten(2, size)


def _groups(
    scale: int, query_chunk: int, features: Tensor, guidance: Tensor, *others: Tensor
) -> Iterator[list[Tensor]]:
    """Split the batch so that a group has ``query_chunk`` output positions, or one window; resize its guidance."""
    size = features.shape[2] * scale, features.shape[3] * scale
    group = max(1, query_chunk // (size[0] * size[1]))
    for feature, image, *rest in zip(*(x.split(group) for x in (features, guidance, *others)), strict=True):
        yield [feature, F.interpolate(image.float(), size, mode="bilinear", antialias=True), *rest]


def _rows_per_band(features: Tensor, scale: int, query_chunk: int) -> int:
    """Rows of output in a band: whole patches, and at most ``query_chunk`` positions if one row of patches allows."""
    return scale * max(1, query_chunk // (len(features) * features.shape[3] * scale**2))


def _patch_means(y: Tensor, scale: int, width: int) -> Tensor:
    """Mean over each patch's scale x scale cells: a band [B, n * scale**2, C] to [B, n, C]."""
    maps = y.unflatten(1, (-1, width * scale)).permute(0, 3, 1, 2)
    return F.avg_pool2d(maps, scale).permute(0, 2, 3, 1).flatten(1, 2)


def _near(first: int, last: int, height: int, width: int, scale: int, radius: int, device: torch.device) -> Tensor:
    """Which patches [h * w] lie near each position of the patch rows ``first`` to ``last``, bool [n, h * w]."""
    own_row = torch.arange(first, last, device=device).repeat_interleave(scale)
    own_column = torch.arange(width, device=device).repeat_interleave(scale)
    rows = (own_row[:, None] - torch.arange(height, device=device)).abs() <= radius
    columns = (own_column[:, None] - torch.arange(width, device=device)).abs() <= radius
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(2).flatten(0, 1)
