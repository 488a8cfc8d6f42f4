"""Training the demo's second network: without captions, labels or masks, on two views of each scene.

Patches that show the same place in both views are to be alike, and unlike patches of other scenes: contrastive learning
of dense features as in VADeR (Pinheiro et al., NeurIPS 2020, arXiv 2011.05499) and PixContrast (Xie et al.,
CVPR 2021, arXiv 2011.10043). Other than there one network encodes both views, as in SimCLR, without a second one that
follows it, and there is no projection after its last norm, so that what is compared later is what was trained. DINO's
own objective was not tried.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import timm
import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from tqdm import tqdm

from sclip_lightning.demo.scenes import Scene

__all__ = ["CONFIG", "matching", "train_features", "view_pairs"]

#: The network in timm's terms: a ViT of 4 blocks on 16 x 16 patches of 4 pixels, 0.5 M parameters. Its grid is twice as
#: fine as CLIP's, as that of DINO ViT-B/8 is beside CLIP ViT-B/16.
CONFIG: dict[str, Any] = {
    "architecture": "vit_small_patch8_224",
    "num_classes": 0,
    "model_args": {"img_size": 64, "patch_size": 4, "embed_dim": 96, "depth": 4, "num_heads": 3},
    "pretrained_cfg": {"input_size": [3, 64, 64], "mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD},
}

#: Mean and standard deviation of red, green and blue in 0..1.
COLOURS = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
VIEW = CONFIG["model_args"]["img_size"]
#: Patches along a side of a view.
GRID = VIEW // CONFIG["model_args"]["patch_size"]
#: Scenes whose views are in one batch, two of each.
BATCH = 16
#: Places of each scene that are compared; all would be slower and hardly better.
PLACES = 48
#: Side in scene pixels of the squares that become views: windows of the demo have 96.
VIEW_SIDES = (64, 128)
#: How far apart the centres of both views are at most, along each side and as a share of the first one's.
APART = 0.35
#: Ranges of factors on brightness and on each channel, drawn for every view; colours stay apart.
LIGHT, BALANCE = (0.8, 1.2), (0.95, 1.05)
TEMPERATURE = 0.1
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
WARMUP = 50


class Views(NamedTuple):
    """Views of scenes, one of each.

    Attributes:
        images: [B, 3, 64, 64] float32, in ImageNet's normalisation.
        boxes: [B, 4] float32: top, left and side of the square in scene pixels; 1 where it was mirrored, else 0.
    """

    images: Tensor
    boxes: Tensor


def view_pairs(scenes: list[Scene], steps: int, seed: int) -> Iterator[tuple[Views, Views]]:
    """Two overlapping squares of each of ``BATCH`` random scenes."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = [scenes[i] for i in rng.integers(len(scenes), size=BATCH)]
        sides = rng.uniform(*VIEW_SIDES, (2, BATCH))
        extents = np.array([scene.layout.shape for scene in chosen])
        first = sides[0, :, None] / 2 + rng.uniform(size=(BATCH, 2)) * (extents - sides[0, :, None])
        second = first + rng.uniform(-APART, APART, (BATCH, 2)) * sides[0, :, None]
        yield _cut(rng, chosen, first, sides[0]), _cut(rng, chosen, second, sides[1])


def _cut(rng: np.random.Generator, scenes: list[Scene], centres: Any, sides: Any) -> Views:
    images, boxes = [], []
    for scene, centre, side in zip(scenes, centres, sides.astype(int), strict=True):
        limits = np.array(scene.layout.shape) - side
        top, left = np.clip(np.round(centre - side / 2), 0, limits).astype(int)
        square = scene.image[top : top + side, left : left + side]
        image = cv2.resize(square, (VIEW, VIEW), interpolation=cv2.INTER_AREA if side > VIEW else cv2.INTER_LINEAR)
        mirrored = bool(rng.random() < 0.5)
        images.append(image[:, ::-1] if mirrored else image)
        boxes.append((top, left, side, mirrored))
    factors = rng.uniform(*LIGHT, (len(images), 1, 1, 1)) * rng.uniform(*BALANCE, (len(images), 1, 1, 3))
    mean, std = np.array(COLOURS)
    normed = (np.stack(images) / 255 * factors - mean) / std
    return Views(torch.from_numpy(normed).permute(0, 3, 1, 2).float(), torch.tensor(boxes, dtype=torch.float32))


def matching(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Where the second views show what the middles of the first views' patches show.

    Args:
        first: [B, 4], boxes of the first views.
        second: [B, 4], those of the second.

    Returns:
        Places [B, 16, 16, 2] float32 as ``grid_sample`` takes them: column and row, the view's edges at -1 and 1; and
        [B, 16, 16] bool, whether the second view shows the place at all.
    """
    middles = (torch.arange(GRID) + 0.5) / GRID
    (top, left, side, mirrored), (top_2, left_2, side_2, mirrored_2) = (box.T[..., None] for box in (first, second))
    columns = (left + _mirror(middles, mirrored) * side - left_2) / side_2
    rows = (top + middles * side - top_2) / side_2
    x, y = torch.broadcast_tensors(_mirror(columns, mirrored_2)[:, None, :], rows[:, :, None])
    places = 2 * torch.stack([x, y], dim=-1) - 1
    return places, (places.abs() < 1).all(dim=-1)


def _mirror(columns: Tensor, mirrored: Tensor) -> Tensor:
    return mirrored + (1 - 2 * mirrored) * columns


def train_features(scenes: list[Scene], steps: int, seed: int = 0) -> nn.Module:
    """Train a network of ``CONFIG``.

    Args:
        scenes: Where views are cut from; only their images are read.
        steps: Batches of two views of ``BATCH`` scenes.
        seed: Of the initial weights and of the views.
    """
    torch.manual_seed(seed)
    network: nn.Module = timm.create_model(CONFIG["architecture"], num_classes=0, **CONFIG["model_args"])
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * t / steps)))
    )
    progress = tqdm(view_pairs(scenes, steps, seed), "Training features", total=steps, unit="step")
    for first, second in progress:
        loss = contrast(network, first, second)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return network.eval()


def contrast(network: Any, first: Views, second: Views) -> Tensor:
    """The loss of a batch: which patch in the views of all scenes shows the same place (InfoNCE, both ways).

    Other patches of the same scene are not among the candidates, as in VADeR: many show the same region.
    """
    tokens = network.forward_features(torch.cat([first.images, second.images]))
    maps = F.normalize(tokens[:, network.num_prefix_tokens :], dim=-1).mT.unflatten(2, (GRID, GRID))
    ours, theirs = maps.chunk(2)
    places, shown = matching(first.boxes, second.boxes)
    theirs = F.normalize(F.grid_sample(theirs, places, align_corners=False, padding_mode="border"), dim=1)
    order = torch.where(shown.flatten(1), torch.rand(shown.flatten(1).shape), -1.0)
    chosen = order.topk(PLACES, dim=1)
    seen = chosen.values >= 0
    a, b = (
        x.flatten(2).mT.gather(1, chosen.indices[..., None].expand(-1, -1, x.shape[1]))[seen] for x in (ours, theirs)
    )
    scene = torch.arange(len(seen))[:, None].expand(-1, PLACES)[seen]
    target = torch.arange(len(scene))
    others = (scene[:, None] == scene) & (target[:, None] != target)
    logits = (a @ b.T / TEMPERATURE).masked_fill(others, -torch.inf)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
