"""Images with their ground truth, ready for the segmentor."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sclip_lightning.data.layout import SampleFiles, check_same_size
from sclip_lightning.data.masks import LabelMap, read_image, read_mask

__all__ = ["Sample", "SegmentationDataset"]


class Sample(TypedDict):
    """One image with its ground truth.

    Attributes:
        index: Position in the data set.
        id: File name of the image without suffix.
        image: [3, h, w] float32, resized and normalised.
        rgb: [3, H, W] uint8, the image at its native size.
        mask: [H, W] uint8 train ids at native size, 255 where nothing is scored.
    """

    index: int
    id: str
    image: Tensor
    rgb: Tensor
    mask: Tensor


class SegmentationDataset(Dataset[Sample]):
    """Reads samples from disk.

    Args:
        files: The samples, in order.
        pipeline: Called as ``pipeline(image=rgb)["image"]`` with [H, W, 3] uint8; see ``image_pipeline``.
        label_map: Turns stored mask values into train ids.
    """

    def __init__(
        self, files: Sequence[SampleFiles], pipeline: Callable[..., dict[str, Any]], label_map: LabelMap
    ) -> None:
        self.files = files
        self.pipeline = pipeline
        self.label_map = label_map

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            DataError: A file is unreadable, the sizes differ, or the mask stores a label outside the table.
        """
        files = self.files[index]
        rgb = read_image(files.image)
        mask = self.target(index)
        check_same_size(files, rgb.shape[:2], mask.shape)
        return Sample(
            index=index,
            id=files.id,
            image=self.pipeline(image=rgb)["image"],
            rgb=torch.from_numpy(rgb).permute(2, 0, 1),
            mask=torch.from_numpy(mask),
        )

    def target(self, index: int) -> npt.NDArray[np.uint8]:
        """Read the ground truth of one sample alone, [H, W] uint8; errors as for the whole sample."""
        path = self.files[index].mask
        return self.label_map(read_mask(path), path)
