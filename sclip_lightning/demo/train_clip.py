"""Training the demo's CLIP: contrastive, on views of generated scenes with generated captions, never on masks.

What a caption may say follows from what a view shows, which the generator knows; the network sees pictures and
sentences.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sclip_lightning.data.reading.transforms import MEAN, STD
from sclip_lightning.demo.captions import write_caption
from sclip_lightning.demo.scenes import Region, Scene, draw_scene

__all__ = ["CONFIG", "VIEW", "draw_scenes", "encode_image", "normalised", "train_clip", "visible"]

#: The demo's model, in open_clip's terms: a ViT of 6 blocks on 8 x 8 patches of 8 pixels, 1.2 M parameters, and a text
#: tower of 2 blocks whose token table (3.2 M) is most of the file.
CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 6, "width": 128, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}

VIEW = 64
#: Smallest and largest side of the square that becomes a view, in pixels of the scene; the demo's windows have 96.
VIEW_SIDES = (48, 160)
#: Share of views that have an object in the middle, as photographs do.
CENTRED = 0.6
#: Objects with fewer visible pixels are no subject.
HIDDEN = 150
BATCH = 128
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.1
WARMUP = 200
#: Share of patches left out, which halves the time of a step (FLIP, Li et al., CVPR 2023) ...
PATCH_DROPOUT = 0.5
#: ... except in the last part of the training, which sees whole views.
WHOLE_FROM = 0.85
#: Share of steps in which the class token sees patches in the last block only (as in CaiT, Touvron et al., ICCV 2021).
#: What it learns must then lie in the patches' values there, which is what dense inference reads. Large CLIPs come to
#: that by themselves; a small one in an hour does not. The other steps keep the network at home without the mask.
LAST_BLOCK_ONLY = 0.8
#: CLIP's bound on the learned scale of the cosines (Radford et al., ICML 2021, section 2.5).
LARGEST_SCALE = math.log(100)


class View(NamedTuple):
    """A square cut out of a scene: [64, 64, 3] uint8 and its caption."""

    image: npt.NDArray[np.uint8]
    caption: str


def draw_scenes(count: int) -> list[Scene]:
    """The first training scenes."""
    with ThreadPoolExecutor() as pool:
        drawn = pool.map(draw_scene, repeat("train"), range(count))
        return list(tqdm(drawn, "Drawing scenes", total=count, unit="scene"))


def cut_view(rng: np.random.Generator, scene: Scene) -> View:
    """Cut a random square out of a scene and say what can be seen in it."""
    box = _around_object(rng, scene) if rng.random() < CENTRED else None
    if box is None:
        side = int(rng.uniform(*VIEW_SIDES))
        top, left = (int(rng.integers(extent - side + 1)) for extent in scene.layout.shape)
        box = (slice(top, top + side), slice(left, left + side))
    side = box[0].stop - box[0].start
    image = cv2.resize(
        scene.image[box], (VIEW, VIEW), interpolation=cv2.INTER_AREA if side > VIEW else cv2.INTER_LINEAR
    )
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return View(np.asarray(image, np.uint8), write_caption(rng, visible(scene, box)))


def _around_object(rng: np.random.Generator, scene: Scene) -> tuple[slice, slice] | None:
    """A square around one of the objects, some 1 to 1.7 times as large; None if it is hidden."""
    objects = [index for index, region in enumerate(scene.regions) if region.colour]
    rows, columns = np.nonzero(scene.layout == rng.choice(objects))
    if len(rows) < HIDDEN:
        return None
    extent = max(np.ptp(rows), np.ptp(columns))
    side = int(np.clip(rng.uniform(1.0, 1.7) * extent, VIEW_SIDES[0], min(scene.layout.shape)))
    slack = 0.15 * side
    corner = []
    for places, limit in zip((rows, columns), scene.layout.shape, strict=True):
        middle = (places.min() + places.max()) / 2 + rng.uniform(-slack, slack)
        corner.append(int(np.clip(middle - side / 2, 0, limit - side)))
    return slice(corner[0], corner[0] + side), slice(corner[1], corner[1] + side)


def visible(scene: Scene, box: tuple[slice, slice]) -> list[Region]:
    """Regions that fill a twentieth of the view, or show a third of an object that fills a fiftieth."""
    count = len(scene.regions)
    inside = np.bincount(scene.layout[box].ravel(), minlength=count)
    whole = np.bincount(scene.layout.ravel(), minlength=count)
    area = inside.sum()
    seen = (inside > 0.05 * area) | ((inside > 0.02 * area) & (inside > 0.33 * whole))
    visible = [region for region, shows in zip(scene.regions, seen, strict=True) if shows]
    return list(dict.fromkeys(visible))  # two regions of one name and colour are named once


def batches(scenes: list[Scene], steps: int, seed: int) -> Iterator[tuple[Tensor, list[str]]]:
    """Normalised views [B, 3, 64, 64] float32 and their captions."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        views = [cut_view(rng, scenes[i]) for i in rng.integers(len(scenes), size=BATCH)]
        images = np.stack([view.image for view in views]) * rng.uniform(0.8, 1.2, (BATCH, 1, 1, 1))
        yield normalised(images), [view.caption for view in views]


def normalised(images: npt.NDArray[Any]) -> Tensor:
    """[B, H, W, 3] in 0..255 as CLIP expects it, [B, 3, H, W] float32."""
    scaled = (images.astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))


def train_clip(scenes: list[Scene], steps: int, seed: int = 0) -> nn.Module:
    """Train a model of ``CONFIG`` with the symmetric contrastive loss of Radford et al. (ICML 2021, section 2.3).

    Args:
        scenes: Where views are cut from.
        steps: Batches of ``BATCH`` views.
        seed: Of the initial weights and of the views.
    """
    torch.manual_seed(seed)
    vision = open_clip.CLIPVisionCfg(**CONFIG["vision_cfg"], patch_dropout=PATCH_DROPOUT)
    text = open_clip.CLIPTextCfg(**CONFIG["text_cfg"])
    model = open_clip.CLIP(CONFIG["embed_dim"], vision, text, quick_gelu=True)
    tokenizer = open_clip.SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * t / steps)))
    )
    seen = torch.zeros(CONFIG["text_cfg"]["vocab_size"], dtype=torch.bool)
    progress = tqdm(batches(scenes, steps, seed), "Training CLIP", total=steps, unit="step")
    for step, (images, captions) in enumerate(progress):
        if step >= WHOLE_FROM * steps:
            model.visual.patch_dropout = nn.Identity()
        tokens = tokenizer(captions)
        seen[tokens] = True
        masked = step % 10 < 10 * LAST_BLOCK_ONLY
        image_features = F.normalize(encode_image(model.visual, images, masked), dim=-1)
        text_features = model.encode_text(tokens, normalize=True)
        logits = model.logit_scale.exp() * image_features @ text_features.T
        target = torch.arange(len(logits))
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        model.logit_scale.data.clamp_(max=LARGEST_SCALE)
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    # Words that no caption has know nothing but their random start.
    model.token_embedding.weight.data[~seen] = 0
    return model.eval()


def encode_image(visual: Any, images: Tensor, masked: bool) -> Tensor:
    """Embeddings [B, D]; ``masked`` hides the patches from the class token in all blocks but the last."""
    x = visual._embeds(images)
    mask = torch.zeros(x.shape[1], x.shape[1])
    if masked:
        mask[0, 1:] = -torch.inf
    for block in visual.transformer.resblocks[:-1]:
        x = block(x, attn_mask=mask)
    x = visual.transformer.resblocks[-1](x)
    return visual.ln_post(x[:, 0]) @ visual.proj
