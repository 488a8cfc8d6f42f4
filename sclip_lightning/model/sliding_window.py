"""Sliding-window SCLIP on normalised images and a fixed set of names, without Lightning."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sclip_lightning.decoding.feedback import SemanticFeedback, check_feedback
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.model.head import Head
from sclip_lightning.towers.clip import VisionTower
from sclip_lightning.upsampling import LogitUpsampler
from sclip_lightning.windows.grid import check_sliding_window, cut_windows, window_grid
from sclip_lightning.windows.merge import MergedLogits
from sclip_lightning.windows.steps import Refiner, check_order

__all__ = ["SlidingWindowSegmentor"]


class SlidingWindowSegmentor(nn.Module):
    """Open-vocabulary segmentation with a dense CLIP tower (SCLIP: Wang et al., ECCV 2024).

    The tower may run under autocast; everything from the cosine similarities to the arg-max is computed in float32,
    because bfloat16 there flips some 4 % of the labels.

    Args:
        tower: Source of patch tokens.
        queries: [Q, D] L2-normalised text embeddings.
        query_classes: [Q] int64, the class of each query; every class 0..C-1 has at least one.
        head: Scale and thresholds.
        crop: Side of a sliding window in pixels; 0 takes each image whole.
        stride: Distance between windows in pixels, at most ``crop``.
        window_batch_size: Most windows in one pass through the tower; it bounds memory.
        feedback: ResCLIP's SFR; None leaves it out.
        upsampler: LoftUp on the logits; None leaves it out.
        refiners: Applied in order to the maps at the output size, which then exist whole.

    Raises:
        ConfigError: The stride is greater than the crop, no window may pass at a time, semantic feedback is asked for
            with ``maskclip``, the upsampler's grid is finer than the pixels or leaves the logits out while a part that
            changes them is switched on, or a refiner of logits follows one of
            probabilities.
    """

    queries: Tensor
    query_classes: Tensor

    def __init__(
        self,
        tower: VisionTower,
        queries: Tensor,
        query_classes: Tensor,
        head: Head,
        crop: int = 224,
        stride: int = 112,
        window_batch_size: int = 32,
        feedback: SemanticFeedback | None = None,
        upsampler: LogitUpsampler | None = None,
        refiners: Sequence[Refiner] = (),
    ) -> None:
        super().__init__()
        check_sliding_window(crop, stride)
        check_order(refiners)
        if window_batch_size < 1:
            msg = f"--model.window_batch_size is {window_batch_size}; at least one window must pass at a time."
            raise ConfigError(msg)
        if feedback:
            check_feedback(tower.attention)
        if upsampler and upsampler.scale > min(tower.patch_size):
            msg = (
                f"LoftUp cannot give {upsampler.scale} positions per patch of {min(tower.patch_size)} pixels: set "
                "--model.loftup_scale to at most the patch size."
            )
            raise ConfigError(msg)
        if upsampler and upsampler.mode == "direct" and (feedback or tower.residual_attention):
            msg = (
                "LoftUp in direct mode compares upsampled value features with the text: residual attention and "
                "semantic feedback could change nothing. Set --model.rcs and --model.sfr to false, or "
                "--model.loftup_mode to affinity."
            )
            raise ConfigError(msg)
        self.tower = tower
        self.register_buffer("queries", queries.float(), persistent=False)
        self.register_buffer("query_classes", query_classes, persistent=False)
        self.head = head
        self.crop = crop
        self.stride = stride
        self.window_batch_size = window_batch_size
        self.feedback = feedback
        self.upsampler = upsampler
        self.refiners = refiners

    @torch.no_grad()
    def predict(self, images: Tensor, output_size: tuple[int, int] | None = None, rgb: Tensor | None = None) -> Tensor:
        """Label every pixel of a batch of images of one size.

        Args:
            images: [B, 3, H, W] float32, normalised as CLIP expects.
            output_size: (H_out, W_out) of the labels in pixels; the images' own size by default.
            rgb: [B, 3, H_out, W_out] uint8, the same images; only refiners of probabilities need them.

        Returns:
            [B, H_out, W_out] int64 class labels.

        Raises:
            DataError: The images are smaller than one patch.
        """
        if self.refiners:
            refined = self.probabilities(images, output_size, rgb)
            return torch.stack([self.head.labels_from_probabilities(maps) for maps in refined])
        return torch.stack([self.head.labels(m, self.query_classes) for m in self.merged_logits(images, output_size)])

    @torch.no_grad()
    def probabilities(
        self, images: Tensor, output_size: tuple[int, int] | None = None, rgb: Tensor | None = None
    ) -> Tensor:
        """Refined class probabilities [B, C, H_out, W_out] float32, before thresholds; arguments as :meth:`predict`."""
        guides = [None] * len(images) if rgb is None else rgb
        merged = self.merged_logits(images, output_size)
        return torch.stack([self.class_maps(*one) for one in zip(merged, images, guides, strict=True)])

    @torch.no_grad()
    def class_maps(self, merged: MergedLogits, image: Tensor, rgb: Tensor | None = None) -> Tensor:
        """Refined class probabilities of one image.

        Args:
            merged: Its logits.
            image: [3, H, W] float32, normalised.
            rgb: [3, H_out, W_out] uint8, the same image; only refiners of probabilities need it.

        Returns:
            [C, H_out, W_out] float32.
        """
        if rgb is None and any(refiner.works_on == "probabilities" for refiner in self.refiners):
            msg = (
                "Refiners of probabilities are guided by the image itself: pass it as rgb, [B, 3, H_out, W_out] uint8."
            )
            raise ValueError(msg)
        maps = merged.full()
        with torch.autocast(image.device.type, enabled=False):
            for refiner in self.refiners:
                if refiner.works_on == "logits":
                    maps = refiner(maps, image)
            maps = self.head.probabilities(maps, self.query_classes)
            for refiner in self.refiners:
                if refiner.works_on == "probabilities" and rgb is not None:
                    maps = refiner(maps, rgb)
        return maps

    @torch.no_grad()
    def logits(self, images: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
        """Cosines [B, Q, H_out, W_out] float32 with every query, not refined; arguments as :meth:`predict`."""
        return torch.stack([m.full() for m in self.merged_logits(images, output_size)])

    @torch.no_grad()
    def merged_logits(self, images: Tensor, output_size: tuple[int, int] | None = None) -> list[MergedLogits]:
        """The logits of each image, merged lazily; arguments as :meth:`predict`."""
        height, width = images.shape[-2:]
        grid = window_grid(height, width, self.crop, self.stride)
        cells = self.tower.grid_size(*grid.window_size)
        if 0 in cells:
            msg = (
                f"An image of {height} x {width} pixels (height x width, after resizing) is smaller than one patch of "
                f"{self.tower.patch_size[0]} x {self.tower.patch_size[1]}. Raise --data.short_side or skip the image."
            )
            raise DataError(msg)
        windows = cut_windows(images, grid)
        chunks = windows.chunk(math.ceil(len(windows) / self.window_batch_size))
        logits = torch.cat([self._window_logits(chunk) for chunk in chunks])
        if self.upsampler:
            cells = (cells[0] * self.upsampler.scale, cells[1] * self.upsampler.scale)
        output_size = output_size or grid.image_size
        return [MergedLogits(image, grid, cells, output_size) for image in logits.split(len(grid))]

    def _window_logits(self, windows: Tensor) -> Tensor:
        """Cosines with all queries on each window's grid; [B, 3, H, W] -> [B, cells, Q] float32."""
        inputs = self.tower.trunk(windows)
        logits = self._cosines(self.tower.finish(inputs))
        if self.feedback:
            with torch.autocast(windows.device.type, enabled=False):
                bias = self.feedback.bias(logits, windows.float(), inputs.grid, self.tower.patch_size)
            logits = self._cosines(self.tower.finish(inputs, bias, self.feedback.gain))
        if self.upsampler:
            (rows, columns), (height, width) = inputs.grid, self.tower.patch_size
            features = self.tower.value_path(inputs)[:, 1:].mT.unflatten(2, inputs.grid)
            covered = windows[..., : rows * height, : columns * width]
            logits = self.upsampler(features, covered, logits.mT.unflatten(2, inputs.grid), self.queries)
            logits = logits.flatten(2).mT
        return logits

    def _cosines(self, tokens: Tensor) -> Tensor:
        """Tokens with the class token first, [B, 1 + patches, D] -> [B, patches, Q] float32."""
        with torch.autocast(tokens.device.type, enabled=False):
            return F.normalize(tokens[:, 1:].float(), dim=-1) @ self.queries.T
