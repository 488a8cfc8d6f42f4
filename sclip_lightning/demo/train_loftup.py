"""Training the demo's LoftUp for the demo's CLIP, in the spirit of its paper (Huang et al., ICCV 2025, section 4.2).

The paper's first stage asks for features that are as sharp as the masks of a segmentation network: those of a finer
input, averaged within each mask. Here the generator's own layout stands in for SAM's masks, and the finer input is the
same view at twice the size, in overlapping windows. The paper's second stage (self-distillation) is left out.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sclip_lightning.demo.scenes import Scene
from sclip_lightning.demo.train_clip import VIEW, normalised
from sclip_lightning.towers.clip import ClipTower
from sclip_lightning.upsampling.networks.loftup import LoftUpNetwork

__all__ = ["train_loftup"]

BATCH = 12
LEARNING_RATE = 1e-3
WARMUP = 50
#: Side of the upsampled map: four positions per patch, as the demo's configuration asks for.
SIDE = 32
#: Side in scene pixels of the squares that become views: windows of the demo have 96.
VIEW_SIDES = (80, 128)
#: How much of the target is the mean over the region, the rest being the finer features themselves.
REGION_SHARE = 0.8


class Views(NamedTuple):
    """A batch of views.

    Attributes:
        images: [B, 3, 64, 64] float32, normalised.
        finer: [B, 3, 128, 128] float32, the same views at twice the size.
        layout: [B, 32, 32] int64, the region that every position shows.
    """

    images: Tensor
    finer: Tensor
    layout: Tensor


def views(scenes: list[Scene], steps: int, seed: int) -> Iterator[Views]:
    """Random squares of random scenes."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        images, layouts = [], []
        for i in rng.integers(len(scenes), size=BATCH):
            scene = scenes[i]
            side = int(rng.uniform(*VIEW_SIDES))
            top, left = (int(rng.integers(extent - side + 1)) for extent in scene.layout.shape)
            box = (slice(top, top + side), slice(left, left + side))
            images.append(cv2.resize(scene.image[box], (2 * VIEW, 2 * VIEW), interpolation=cv2.INTER_LINEAR))
            layouts.append(cv2.resize(scene.layout[box], (SIDE, SIDE), interpolation=cv2.INTER_NEAREST))
        finer = normalised(np.stack(images))
        yield Views(F.avg_pool2d(finer, 2), finer, torch.from_numpy(np.stack(layouts)).long())


def train_loftup(visual: Any, scenes: list[Scene], steps: int, seed: int = 0) -> LoftUpNetwork:
    """Train a LoftUp on the patch features of ``visual``, CLIP's vision tower.

    Args:
        visual: The tower; it is not trained.
        scenes: Where views are cut from.
        steps: Batches of ``BATCH`` views.
        seed: Of the initial weights and of the views.
    """
    torch.manual_seed(seed)
    tower = ClipTower(visual)
    network = LoftUpNetwork(visual.proj.shape[1])
    network.upsampler.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * t / steps)))
    )
    progress = tqdm(views(scenes, steps, seed), "Training LoftUp", total=steps, unit="step")
    for batch in progress:
        target = _target(tower, network, batch)
        guidance = F.interpolate(batch.images, (SIDE, SIDE), mode="bilinear", antialias=True)
        (upsampled,) = network.bands(_features(tower, batch.images), guidance, SIDE)
        loss = 1 - F.cosine_similarity(upsampled, target, dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    network.upsampler.eval()
    return network


@torch.no_grad()
def _features(tower: ClipTower, windows: Tensor) -> Tensor:
    """Patch features [B, C, 8, 8] of windows [B, 3, 64, 64]: the value path, which LoftUp is given later."""
    trunk = tower.trunk(windows)
    _, _, v = tower.project(trunk.x, tower.depth)
    values = tower.to_text_space(tower.output(v, tower.depth))
    return values[:, trunk.prefix :].mT.unflatten(2, trunk.grid)


@torch.no_grad()
def _target(tower: ClipTower, network: LoftUpNetwork, batch: Views) -> Tensor:
    """What every position should be, [B, 32 * 32, C]: normed finer features, mostly their mean over the region."""
    half = VIEW // 2
    corners = [(top, left) for top in (0, half, VIEW) for left in (0, half, VIEW)]
    windows = torch.cat([batch.finer[..., top : top + VIEW, left : left + VIEW] for top, left in corners])
    tiles = _features(tower, windows).unflatten(0, (len(corners), -1))
    cells = tiles.shape[-1] // 2  # patches in half a window
    total = tiles.new_zeros(*tiles.shape[1:3], 4 * cells, 4 * cells)
    count = tiles.new_zeros(4 * cells, 4 * cells)
    for tile, (top, left) in zip(tiles, corners, strict=True):
        row, column = top // half * cells, left // half * cells
        total[..., row : row + 2 * cells, column : column + 2 * cells] += tile
        count[row : row + 2 * cells, column : column + 2 * cells] += 1
    fine = F.interpolate(total / count, (SIDE, SIDE), mode="bicubic").flatten(2).mT
    fine = F.layer_norm(fine, fine.shape[-1:])
    member = F.one_hot(batch.layout.flatten(1)).float()  # [B, positions, regions]
    means = (member.mT @ fine) / member.sum(1).clamp_min(1)[..., None]
    return REGION_SHARE * (member @ means) + (1 - REGION_SHARE) * fine
