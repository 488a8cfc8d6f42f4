"""Segmentation of normalised images into a fixed set of names, without Lightning: the order of all steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.model.head import Head
from sclip_lightning.model.recall import Recall, Recalling
from sclip_lightning.model.refining import REFINE_SIDE, at_size, refined_size
from sclip_lightning.model.segmentation import Segmentation
from sclip_lightning.ranges import at_least, check_number
from sclip_lightning.towers import Tower
from sclip_lightning.windows import (
    Decoder,
    MapStep,
    MergedLogits,
    Part,
    ResizedMaps,
    Scene,
    Sheet,
    SheetStep,
    Texts,
    WindowDecoder,
    WindowGrid,
    Windows,
    check_sliding_window,
    compare_with_texts,
    full_float32,
    window_grid,
)
from sclip_lightning.windows.steps import check_order

__all__ = ["SlidingWindowSegmentor"]

#: Windows beyond which tokens become logits chunk by chunk, where no step asks for them: those of an image of some 13
#: megapixels, larger than any benchmark's. Products of other shapes may round last digits otherwise.
MANY_WINDOWS = 1024


class SlidingWindowSegmentor(nn.Module):
    """Open-vocabulary segmentation with a dense CLIP tower (SCLIP: Wang et al., ECCV 2024).

    Networks may run under autocast; everything from the cosine similarities to the arg-max is computed in float32,
    because bfloat16 there flips some 4 % of the labels.

    Args:
        networks: Every network that the parts need, by name; CLIP's tower is ``clip``.
        texts: The names of the classes.
        decoder: From windows to tokens.
        head: Scale and thresholds.
        crop: Side of a sliding window in pixels; 0 takes each image whole.
        stride: Distance between windows in pixels, at most ``crop``.
        padding: Windows are padded with zeros to a multiple of this many pixels; 1 leaves them alone.
        window_batch_size: Most windows in one pass through a network; it bounds memory.
        sheet_steps: Steps on logits before they are merged, in order.
        map_steps: Refiners: steps on whole maps at the output size, in order; those of logits come first, then those of
            probabilities, then those of labels.
        recall: Where results are kept for images that come again; None keeps nothing.
        refine_side: Most pixels of the short side of maps that are refined, see :func:`refined_size`; 0 bounds nothing.

    Raises:
        ConfigError: The stride is greater than the crop, no window may pass at a time, or steps on maps are in an order
            that cannot be.
    """

    queries: Tensor
    query_classes: Tensor

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        texts: Texts,
        decoder: Decoder,
        head: Head,
        crop: int = 224,
        stride: int = 112,
        padding: int = 1,
        window_batch_size: int = 32,
        sheet_steps: Sequence[SheetStep] = (),
        map_steps: Sequence[MapStep] = (),
        recall: Recall | None = None,
        refine_side: int = REFINE_SIDE,
    ) -> None:
        super().__init__()
        check_sliding_window(crop, stride)
        check_order(map_steps)
        check_number(window_batch_size, at_least(1, whole=True), "--model.window_batch_size")
        check_number(refine_side, at_least(0, whole=True), "--model.refine_side")
        self.networks = nn.ModuleDict(dict(networks))
        self.register_buffer("queries", texts.queries.float(), persistent=False)
        self.register_buffer("query_classes", texts.classes, persistent=False)
        self.classes = int(texts.classes.max()) + 1
        self.decoder = decoder
        self.head = head
        self.crop = crop
        self.stride = stride
        self.padding = padding
        self.window_batch_size = window_batch_size
        self.sheet_steps = tuple(sheet_steps)
        self.map_steps = tuple(map_steps)
        self.refine_side = refine_side
        self.recall = Recall(limit=0) if recall is None else recall

    @property
    def tower(self) -> Tower:
        """CLIP's."""
        return self.networks["clip"]  # type: ignore[return-value]  # a ModuleDict forgets what it holds

    @property
    def refines_maps(self) -> bool:
        """Whether there are steps on logits or probabilities of whole maps, which ``refine_side`` is about."""
        return any(step.works_on != "labels" for step in self.map_steps)

    @torch.no_grad()
    @full_float32()
    def predict(
        self,
        image: Tensor,
        output_size: tuple[int, int] | None = None,
        rgb: Tensor | None = None,
        regions: Tensor | None = None,
    ) -> Segmentation:
        """Label every pixel of one image.

        Args:
            image: [3, h, w] float32, normalised as CLIP expects.
            output_size: (H, W) of the labels in pixels; the image's own size by default.
            rgb: [3, H, W] uint8, the same image; only refiners of probabilities need it.
            regions: [H, W] int64, a class-agnostic segment per pixel; only steps that read segments need it.

        Raises:
            DataError: The image is smaller than one patch.
            ConfigError: A step is given nothing of what it needs, or makes numbers that are not finite.
        """
        scene = self.scene(image, output_size, rgb, regions)
        # Labels have the image's size, in bands of rows; maps of all classes need not.
        size = refined_size(scene.output_size, self.refine_side) if self.refines_maps else scene.output_size
        merged, refined = self.merged_logits(scene, size), at_size(scene, size)
        if self.refines_maps:
            maps = self.class_maps(merged, refined)
            labels = self.head.labels_from_probabilities(maps, scene.output_size)
            resized = ResizedMaps(maps, scene.output_size)
        else:
            labels = self.head.labels(merged, self.query_classes, self.classes)
        for step in self._map_steps("labels"):
            labels = step(labels, scene)
        return Segmentation(labels, resized.full if self.refines_maps else lambda: self.class_maps(merged, scene))

    def borders(self, image: Tensor, labels: Tensor) -> tuple[list[int], list[int]]:
        """Rows and columns of labels [H, W] where a window of their image [3, h, w] begins or ends."""
        height, width = labels.shape
        return self._grid(image).borders((height, width))

    def _grid(self, image: Tensor) -> WindowGrid:
        height, width = image.shape[-2:]
        return window_grid(height, width, self.crop, self.stride, self.padding)

    def scene(
        self,
        image: Tensor,
        output_size: tuple[int, int] | None = None,
        rgb: Tensor | None = None,
        regions: Tensor | None = None,
    ) -> Scene:
        """Everything that steps may ask of an image; arguments as :meth:`predict`."""
        height, width = image.shape[-2:]
        grid = self._grid(image)
        if 0 in self.tower.grid_size(*grid.padded_size):
            patch = self.tower.patch_size
            msg = (
                f"An image of {height} x {width} pixels (height x width, after resizing) is smaller than one patch of "
                f"{patch[0]} x {patch[1]}. Raise --data.short_side or skip the image."
            )
            raise DataError(msg)
        return Scene(
            pixels=image,
            output_size=output_size or (height, width),
            windows=Windows(image, grid, self.window_batch_size),
            texts=Texts(self.queries, self.query_classes),
            networks={
                name: Recalling(network, name, self.recall) if self.recall.limit else network
                for name, network in self.networks.items()
            },
            rgb=rgb,
            regions=regions,
        )

    @torch.no_grad()
    @full_float32()
    def sheet(self, scene: Scene) -> Sheet:
        """Logits of all queries on all windows, as they are merged.

        Raises:
            ConfigError: Some are not finite.
        """
        keep_values = any("values" in step.needs for step in self.sheet_steps)
        if len(scene.windows) > MANY_WINDOWS and isinstance(self.decoder, WindowDecoder) and not self.sheet_steps:
            # Nobody asks for tokens, which take far more memory than logits.
            parts = (self.decoder.decode_windows(chunk, scene, keep_values) for chunk in scene.windows.chunks())
            sheet = Sheet(
                torch.cat([compare_with_texts(one.features, scene.texts) for one in parts]), scene.windows.grid
            )
        else:
            read = (self.decoder, keep_values, *_inputs(scene, texts=self.decoder.reads_texts))
            tokens = self.recall.of("tokens", read, lambda: self.decoder.decode(scene, keep_values))
            sheet = Sheet(compare_with_texts(tokens.features, scene.texts), tokens.grid, tokens)
        _check_finite(sheet.logits, self.decoder)
        for step in self.sheet_steps:
            sheet = step(sheet, scene)
            _check_finite(sheet.logits, step)
        return sheet

    def merged_logits(self, scene: Scene, size: tuple[int, int] | None = None) -> MergedLogits:
        """Logits of all queries, merged lazily to a size, by default the output size, before refiners."""
        size = size or scene.output_size

        def merged() -> MergedLogits:
            sheet = self.sheet(scene)
            return MergedLogits(sheet.logits, sheet.grid, size)

        return self.recall.of("logits", (self.decoder, self.sheet_steps, size, *_inputs(scene)), merged)

    @torch.no_grad()
    @full_float32()
    def class_maps(self, merged: MergedLogits, scene: Scene) -> Tensor:
        """Class probabilities [C, h, w] float32 after refiners, at the merged size, before area filter and threshold.

        Raises:
            ConfigError: Some are not finite.
        """
        read = (merged, self.head.logit_scale, self.map_steps, *_inputs(scene))
        return self.recall.of("maps", read, lambda: self._class_maps(merged, scene))

    def _class_maps(self, merged: MergedLogits, scene: Scene) -> Tensor:
        with torch.autocast(merged.device.type, enabled=False):
            if steps := self._map_steps("logits"):
                maps = merged.full()
                for step in steps:
                    maps = step(maps, scene)
                    _check_finite(maps, step)
                maps = self.head.probabilities(maps, self.query_classes, overwrite=True, classes=self.classes)
            else:
                maps = self.head.merged_probabilities(merged, self.query_classes, self.classes)
            for step in self._map_steps("probabilities"):
                maps = step(maps, scene)
                _check_finite(maps, step)
        return maps

    def _map_steps(self, place: str) -> list[MapStep]:
        return [step for step in self.map_steps if step.works_on == place]


def _inputs(scene: Scene, texts: bool = True) -> tuple[Any, ...]:
    """Everything in a scene that a step may read, its networks aside."""
    image = (scene.pixels, scene.output_size, scene.windows.grid, scene.windows.batch_size, scene.rgb, scene.regions)
    return (*image, scene.texts.queries, scene.texts.classes) if texts else image


def _check_finite(values: Tensor, part: Part) -> None:
    """Refuse logits or probabilities of which arg-max would make a class although they say nothing.

    Not an error of the image alone: leaving out the images on which a part fails would make scores of the others.
    """
    if not values.sum().isfinite():  # one pass, without a map of booleans
        what, bad = type(part).__name__, int((~values.isfinite()).sum())
        msg = (
            f"{what} gave {bad} of {values.numel()} values as NaN or infinite, of which no class can be made. With "
            "precision 16-mixed, use 32-true or bf16-mixed (--trainer.precision, for sclip predict --precision); "
            f"otherwise set the numbers of {what} nearer to their defaults."
        )
        raise ConfigError(msg)
