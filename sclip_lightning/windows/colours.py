"""Colours in CLIP's normalisation: back from it, on to ImageNet's, and black at the border of windows."""

import torch
from torch import Tensor

__all__ = ["CLIP_MEAN", "CLIP_STD", "IMAGENET", "colours", "imagenet_colours", "padded_with_black"]

#: Mean and standard deviation of red, green and blue in 0..1 that CLIP's input is normalised with.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
#: The same of what networks are used to that were trained on ImageNet.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def colours(pixels: Tensor) -> Tensor:
    """Red, green and blue in 0..1 of [..., 3, h, w] pixels in CLIP's normalisation; float32 of the same shape."""
    mean, std = pixels.new_tensor([CLIP_MEAN, CLIP_STD], dtype=torch.float32)[..., None, None]
    return pixels.float() * std + mean


def imagenet_colours(pixels: Tensor) -> Tensor:
    """[..., 3, h, w] pixels from CLIP's normalisation to ImageNet's; float32 of the same shape."""
    mean, std = pixels.new_tensor(IMAGENET, dtype=torch.float32)[..., None, None]
    return (colours(pixels) - mean) / std


def padded_with_black(windows: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """Windows with black pixels at the bottom and right, as many as make them whole patches.

    Args:
        windows: [B, 3, H, W] in CLIP's normalisation.
        patch_size: Height and width of a patch in pixels.

    Returns:
        [B, 3, H', W'] of the same dtype; the input itself where it is whole patches.
    """
    count, channels, height, width = windows.shape
    lacking = -height % patch_size[0], -width % patch_size[1]
    if lacking == (0, 0):
        return windows
    black = windows.new_tensor([-mean / std for mean, std in zip(CLIP_MEAN, CLIP_STD, strict=True)])
    padded = black[:, None, None].expand(count, channels, height + lacking[0], width + lacking[1]).clone()
    padded[..., :height, :width] = windows
    return padded
