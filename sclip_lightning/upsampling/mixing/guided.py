"""The step of upsamplers that mix the logits of cells, guided by the image: everything but the mix itself."""

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, TypeVar

import torch
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import at_least
from sclip_lightning.windows import Scene, Sheet, SheetStep, Tokens
from sclip_lightning.windows.grid import cut_windows

__all__ = ["GuidedUpsampler", "covered_pixels", "together"]

#: Pixels of guidance that are encoded together, by kind of device: two windows of 224, and 80 of them.
CPU_PIXELS, ACCELERATOR_PIXELS = 2**17, 2**22

U = TypeVar("U", bound="GuidedUpsampler")


class GuidedUpsampler(SheetStep):
    """Logits on a finer grid, each a mix of those of near cells, window by window.

    Attributes:
        scale: Positions per cell and axis, up to the cell's side in pixels.
    """

    option = "--model.upsampler"
    works_on = "tokens"

    scale: Annotated[int, at_least(1, whole=True)]

    def fitted(self: U, depth: int, patch_size: tuple[int, int]) -> U:
        """Itself; raises ConfigError where its grid would be finer than the pixels."""
        del depth
        if self.scale > min(patch_size):
            msg = (
                f"{type(self).__name__} cannot give {self.scale} positions per patch of {min(patch_size)} pixels: set "
                "--model.upsampler.scale to at most the patch size."
            )
            raise ConfigError(msg)
        return self

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Upsample [W, r, c, Q] logits to [W, r * scale, c * scale, Q], as many windows at once as pass the tower."""
        chunks = -(-len(sheet.logits) // scene.windows.batch_size)
        guidance, upsampled = self.guidance(sheet, scene), []
        for some in torch.arange(len(sheet.logits)).chunk(chunks):
            chosen = slice(int(some[0]), int(some[-1]) + 1)
            logits = sheet.logits[chosen].permute(0, 3, 1, 2)
            finer = self.finer(logits, guidance[chosen], _chosen(sheet.tokens, chosen), scene)
            upsampled.append(finer.permute(0, 2, 3, 1))
        return Sheet(torch.cat(upsampled), sheet.grid)

    def guidance(self, sheet: Sheet, scene: Scene) -> Tensor:
        """What of the image the cells cover, [W, 3, a, b] float32 in CLIP's normalisation."""
        height, width = covered_pixels(sheet, scene)
        of_sheet = scene.pixels.shape[1:] == torch.Size(sheet.grid.image_size)
        windows = cut_windows(scene.pixels[None], sheet.grid) if of_sheet else scene.pixels[None]
        return windows[..., :height, :width]

    @abstractmethod
    def finer(self, logits: Tensor, guidance: Tensor, tokens: Tokens | None, scene: Scene) -> Tensor:
        """Upsample the logits of some windows.

        Args:
            logits: [B, Q, r, c] float32.
            guidance: [B, 3, a, b] float32, what of the image their cells cover, in CLIP's normalisation.
            tokens: What they were made of, of the same windows.
            scene: The image, for its texts and networks.

        Returns:
            [B, Q, r * scale, c * scale] float32.
        """


def covered_pixels(sheet: Sheet, scene: Scene) -> tuple[int, int]:
    """Height and width in pixels of what the cells of a window are made of: what fills no patch is left out.

    A sheet that is one window, whatever size it states, covers the network's input.
    """
    cells, grid = sheet.logits.shape[1:3], sheet.grid
    height, width = grid.padded_size if grid.image_size == scene.pixels.shape[1:] else scene.pixels.shape[1:]
    patches = [size for network in scene.networks.values() if (size := getattr(network, "patch_size", None))]
    for patch in patches:  # CLIP's, or those of the network whose patches the decoder works on
        if (height // patch[0], width // patch[1]) == cells:
            return cells[0] * patch[0], cells[1] * patch[1]
    return height, width


def together(image: Tensor) -> int:
    """How many of the images [B, 3, H, W] are to be encoded together, at least one: it bounds memory."""
    budget = CPU_PIXELS if image.device.type == "cpu" else ACCELERATOR_PIXELS
    return max(1, budget // (image.shape[2] * image.shape[3]))


def _chosen(tokens: Tokens | None, chosen: slice) -> Tokens | None:
    """The tokens of some windows, as far as upsamplers read them."""
    if tokens is None:
        return None
    return replace(
        tokens,
        features=tokens.features[chosen],
        values=tokens.values if tokens.values is None else tokens.values[chosen],
    )
