"""Segments of SAM or SAM 2, as ``transformers`` has them.

Kirillov et al., "Segment Anything", ICCV 2023, arXiv 2304.02643; Ravi et al., "SAM 2: Segment Anything in Images and
Videos", ICLR 2025, arXiv 2408.00714. The masks of a grid of points are filtered and painted over each other, as
CorrCLIP's and OV-Stitcher's authors do it: one mask a point.

The mask-generation pipeline of ``transformers`` is not used. It takes three masks a point, and in 5.24, the release
seen, it spreads the points over SAM 2's square input as if images were padded there, while they are stretched: a
landscape image's lower part, or an upright one's right part, gets no points.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import masks_to_boxes, nms

from sclip_lightning.errors import CheckpointError
from sclip_lightning.ranges import Range, above, at_least, between
from sclip_lightning.regions.maker import LoadedMaker, RegionMaker, imported
from sclip_lightning.regions.overlapping import PaintOrder, painted

__all__ = ["SAM", "point_grid"]

#: The networks that this was written for.
_NETWORKS = ("SamModel", "Sam2Model")
#: What to do where there is another or none.
_ADVICE = (
    "Give a SAM or SAM 2 of the Hugging Face Hub, such as facebook/sam2-hiera-large, or a folder that save_pretrained "
    "of its model and of its processor has written."
)
#: Settings that change speed and memory, and no map.
_WITHOUT_EFFECT = ("model", "points_per_batch")


@dataclass(frozen=True)
class SAM(RegionMaker):
    """Masks of a network that is asked at a grid of points of the whole image; always in float32.

    The defaults of numbers are those of ``transformers``' pipeline. Others, from code: CorrCLIP's generator takes 8
    points a side and thresholds of 0.4 and 0.4, OV-Stitcher's 64 points a side, 0.7 and 0.7.

    Args:
        model: A model of the Hugging Face Hub (``facebook/sam2-hiera-large``, ``facebook/sam-vit-huge``), or a folder.
        points_per_side: Points along each side of the image.
        points_per_batch: Points asked at once; fewer take less memory.
        iou_threshold: Masks pass whose IoU, as the network predicts it, is above; with 0 all pass.
        stability_threshold: Masks pass whose stability is above: the IoU of the masks at two thresholds of logits;
            likewise.
        stability_offset: How far these lie below and above ``mask_threshold``, in logits.
        mask_threshold: Pixels with a logit above belong to a mask.
        nms_threshold: Of two masks whose boxes have a greater IoU, that with the better predicted IoU is kept.
        order: Which of two masks a pixel of both belongs to: ``large_on_top`` as published, or ``small_on_top``.
    """

    model: str = "facebook/sam2-hiera-large"
    points_per_side: Annotated[int, at_least(1, whole=True)] = 32
    points_per_batch: Annotated[int, at_least(1, whole=True)] = 64
    iou_threshold: Annotated[float, between(0, 1)] = 0.88
    stability_threshold: Annotated[float, between(0, 1)] = 0.95
    stability_offset: Annotated[float, above(0)] = 1.0
    mask_threshold: Annotated[float, Range()] = 0.0
    nms_threshold: Annotated[float, between(0, 1)] = 0.7
    order: PaintOrder = "large_on_top"

    on_device = True

    def load(self, device: torch.device) -> LoadedMaker:
        """Load the network and put it on a device.

        Raises:
            ConfigError: ``transformers`` is not installed.
            CheckpointError: There is no such network, it cannot be read, or it is of another kind.
        """
        transformers = imported("transformers", "transformers", "SAM")
        network, processor = self._network(transformers)
        weights = _checksum(network)
        network.to(device).eval()

        def segment(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
            masks = self._masks(network, processor, rgb, device)
            return painted(masks, (rgb.shape[0], rgb.shape[1]), self.order)

        settings = {name: value for name, value in asdict(self).items() if name not in _WITHOUT_EFFECT}
        libraries = {"transformers": str(transformers.__version__)}
        return LoadedMaker(segment, "SAM", settings, self.model, weights, libraries)

    @torch.inference_mode()
    def _masks(
        self, network: Any, processor: Any, rgb: npt.NDArray[np.uint8], device: torch.device
    ) -> list[npt.NDArray[np.bool_]]:
        """The masks that pass, each [H, W], in descending order of predicted IoU."""
        points = point_grid(self.points_per_side, rgb.shape[0], rgb.shape[1])
        # An object for each point; the processor knows how the network's images are resized, and points with them.
        inputs = processor(
            images=Image.fromarray(rgb),
            input_points=[[[point] for point in points]],
            input_labels=[[[1] for _ in points]],
            return_tensors="pt",
        )
        sizes = {name: inputs[name] for name in ("original_sizes", "reshaped_input_sizes") if name in inputs}
        features = network.get_image_embeddings(inputs["pixel_values"].to(device))
        passed: list[Tensor] = []
        scores: list[Tensor] = []
        for start in range(0, len(points), self.points_per_batch):
            batch = slice(start, start + self.points_per_batch)
            found = network(
                image_embeddings=features,
                input_points=inputs["input_points"][:, batch].to(device, torch.float32),
                input_labels=inputs["input_labels"][:, batch].to(device),
                multimask_output=False,
            )
            (logits,) = processor.post_process_masks(found.pred_masks, **sizes, binarize=False)  # [n, 1, H, W]
            masks, own = self._passing(logits[:, 0], found.iou_scores[0, :, 0])
            passed.append(masks)
            scores.append(own)
        every, iou = torch.cat(passed), torch.cat(scores)
        if not len(every):
            return []
        kept = nms(masks_to_boxes(every).float(), iou, self.nms_threshold)
        return [mask.cpu().numpy() for mask in every[kept]]

    def _passing(self, logits: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
        """Of masks [n, H, W] with predicted IoU [n], those that pass the thresholds and have pixels."""
        masks = logits > self.mask_threshold
        passes = masks.flatten(1).any(1)
        if self.iou_threshold > 0:
            passes &= iou > self.iou_threshold
        if self.stability_threshold > 0:
            inner = (logits > self.mask_threshold + self.stability_offset).flatten(1).sum(1)
            outer = (logits > self.mask_threshold - self.stability_offset).flatten(1).sum(1)
            passes &= inner / outer > self.stability_threshold
        return masks[passes], iou[passes]

    def _network(self, transformers: Any) -> tuple[Any, Any]:
        """The network in float32 on the CPU, and what brings images and points into its form."""
        folder = Path(self.model).expanduser()
        source = str(folder) if folder.is_dir() else self.model
        try:
            network, state = transformers.AutoModelForMaskGeneration.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True
            )
            processor = transformers.AutoProcessor.from_pretrained(source)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = " ".join((str(error).strip().splitlines() or [type(error).__name__])[0].split())
            msg = f"The network {self.model!r} (--maker.model) cannot be loaded: {reason.rstrip('.')}. {_ADVICE}"
            raise CheckpointError(msg) from error
        if type(network).__name__ not in _NETWORKS:
            msg = f"The network {self.model!r} (--maker.model) is a {type(network).__name__}. {_ADVICE}"
            raise CheckpointError(msg)
        if missing := sorted(state["missing_keys"]):  # these would be random, and the maps would look real
            msg = (
                f"The weights of {self.model!r} (--maker.model) lack {len(missing)} of the network's tensors, such as "
                f"{missing[0]}. Download them again, or give another model."
            )
            raise CheckpointError(msg)
        return network, processor


def point_grid(per_side: int, height: int, width: int) -> list[list[float]]:
    """(x, y) in pixels of the centres of per_side x per_side equal parts of an image, row by row."""
    places = [(index + 0.5) / per_side for index in range(per_side)]
    return [[x * width, y * height] for y in places for x in places]


def _checksum(network: torch.nn.Module) -> str:
    """The first 12 digits of the SHA-256 of all weights, with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
