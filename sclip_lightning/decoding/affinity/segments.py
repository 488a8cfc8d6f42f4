"""Segments of a map as a limit to which patches mix: those that look alike become one, and attention stays inside.

After Zhang, Liu, Tang (CorrCLIP), ICCV 2025, arXiv 2411.10086. In every window the smallest number of the map stands
for "no segment", even where it is one: the authors' code has it so.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.decoding.affinity.second_network import mean_cosine, square_blocks
from sclip_lightning.errors import DataError
from sclip_lightning.windows import Scene

__all__ = ["connected", "mixed_in_segments", "numbered", "region_map", "segment_distances", "segments_joined"]


def region_map(scene: Scene, part: str) -> Tensor:
    """The scene's regions, [H, W] int64 on the device of its pixels; zeros, and a warning, where it has none.

    Args:
        scene: The image.
        part: Who asks, for messages.

    Raises:
        DataError: They have another size than the labels.
    """
    regions = scene.regions
    if regions is None:
        warnings.warn(
            f"{part}: no segment map came with the image, so that all of it counts as outside of any segment; "
            "published results have one (regions, [H, W]).",
            stacklevel=2,
        )
        return torch.zeros(scene.output_size, dtype=torch.int64, device=scene.pixels.device)
    if tuple(regions.shape) != tuple(scene.output_size):
        found, wanted = (" x ".join(map(str, size)) for size in (regions.shape, scene.output_size))
        msg = (
            f"{part}: the segment map has {found} pixels, the labels {wanted} (rows x columns). Make it from the same "
            "image file, or resize it by taking nearest pixels; other resizing mixes segment numbers."
        )
        raise DataError(msg)
    return regions.to(scene.pixels.device)


def numbered(numbers: Tensor) -> Tensor:
    """The numbers in each row of [B, N], any of them, as 0, 1, 2 ... in ascending order; [B, N] int64."""
    return torch.stack([row.unique(return_inverse=True)[1] for row in numbers])


def segments_joined(keys: Tensor, segments: Tensor, limit: float) -> Tensor:
    """Join the segments of one window that look alike, and those that are like them, and so on.

    The distance has a step at ``limit``, so that everything is float32 whatever autocast says around it.

    Args:
        keys: [N, C] float32 of length 1.
        segments: [N] int64, each patch's segment, 0 to R, each of which occurs; 0 is none and stays by itself.
        limit: Segments at most this far apart are joined; see :func:`segment_distances`.

    Returns:
        [N] int64. All segments that are joined have the number of the first of them.
    """
    first = 1 + connected(segment_distances(keys, segments) <= limit)
    return F.pad(first, (1, 0))[segments]


def segment_distances(keys: Tensor, segments: Tensor) -> Tensor:
    """How far apart segments 1 to R look: the greatest cosine of any two means, less that of these two.

    Args:
        keys: [N, C] float32 of length 1.
        segments: [N] int64, each of 0 to R occurs.

    Returns:
        [R, R] float32, at least 0 and but for rounding 0 for a segment and itself.
    """
    number = int(segments.max())
    with torch.autocast(keys.device.type, enabled=False):
        belongs = (segments == torch.arange(1, number + 1, device=keys.device)[:, None]).float()
        means = F.normalize(belongs @ keys / belongs.sum(dim=1, keepdim=True), dim=-1)
        cosines = means @ means.mT
    return cosines.max() - cosines if number else cosines


def connected(linked: Tensor) -> Tensor:
    """The first of all that each of R is linked with, directly or through others.

    Args:
        linked: [R, R] bool, symmetric.

    Returns:
        [R] int64.
    """
    first = torch.arange(len(linked), device=linked.device)
    if not len(linked):
        return first
    while True:
        nearer = torch.minimum(first, first.expand_as(linked).masked_fill(~linked, len(linked)).amin(dim=1))
        nearer = nearer[nearer]
        if torch.equal(nearer, first):
            return first
        first = nearer


def mixed_in_segments(keys: Tensor, segments: Tensor, values: Tensor, factor: float) -> Tensor:
    """Mix the values of each window's patches by how alike the keys are, as far as segments allow it.

    The weights are a softmax over ``factor`` times the cosines. A patch takes part where it is of the same segment;
    if one of both is of none, where their cosine is above the window's mean: a step, so that cosines are float32
    whatever the networks' precision. A patch always takes part in its own mix, which only matters where all are equal.

    Args:
        keys: [B, N, C] float32 of length 1.
        segments: [B, N] int64, 0 for none.
        values: [B, N, D].
        factor: Factor on the cosines.

    Returns:
        [B, N, D] of the values' dtype. Few rows of the [N, N] weights exist at a time.
    """
    with torch.autocast(keys.device.type, enabled=False):
        mean, mixed = mean_cosine(keys)[:, None, None], torch.empty_like(values)
        for windows, rows in square_blocks(keys.shape[0], keys.shape[1], keys.device):
            mine, others = segments[windows, rows, None], segments[windows, None]
            cosines = keys[windows, rows] @ keys[windows].mT
            allowed = torch.where((mine == 0) | (others == 0), cosines > mean[windows], mine == others)
            own = torch.arange(rows.start, rows.stop, device=keys.device)
            allowed[:, own - rows.start, own] = True
            weights = cosines.mul_(factor).masked_fill_(~allowed, -torch.inf).softmax(dim=-1)
            mixed[windows, rows] = weights.to(values.dtype) @ values[windows]
    return mixed
