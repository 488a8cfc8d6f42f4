"""Images with their ground truth, ready for the segmentor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sclip_lightning.data.reading.fingerprints import Fingerprint, changed_samples, fingerprint, stamp
from sclip_lightning.data.reading.layout import SampleFiles, check_same_size
from sclip_lightning.data.reading.masks import LabelMap, read_image, read_mask
from sclip_lightning.data.reading.pixels import read_bytes
from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.errors import ConfigError, DataError

__all__ = ["SKIP_ADVICE", "KeptSamples", "Sample", "SegmentationDataset", "keep"]

#: The last sentence of an error that ends a test because of one image.
SKIP_ADVICE = "To pass over images that cannot be read or scored: --data.on_error skip."

#: Bytes that samples kept in memory may take.
KEPT_BYTES = 2**30


class Sample(TypedDict):
    """One image with its ground truth.

    Attributes:
        index: Position in the data set.
        id: File name of the image without suffix.
        image: [3, h, w] float32, resized and normalised.
        rgb: [3, H, W] uint8, the image at its native size.
        mask: [H, W] uint8 train ids at native size, 255 where nothing is scored.
        regions: [H, W] int64, the segment that each pixel belongs to, at native size; None where nobody reads segments.
        fingerprint: What the files were, for the record; empty if the sample cannot be read.
        error: Why the sample cannot be read, its tensors then being empty; None if it can.
    """

    index: int
    id: str
    image: Tensor
    rgb: Tensor
    mask: Tensor
    regions: Tensor | None
    fingerprint: Fingerprint
    error: str | None


class SegmentationDataset(Dataset[Sample]):
    """Reads samples from disk.

    Args:
        files: The samples, in order.
        pipeline: Called as ``pipeline(image=rgb)["image"]`` with [H, W, 3] uint8; see ``image_pipeline``. None where
            the short side is not known yet: only ground truth can be read then.
        label_map: Turns stored mask values into train ids.
        skip_errors: Return a sample that cannot be read with its ``error``, rather than raise it.

    Attributes:
        maps: Segment maps that are read with each image; None reads none.
    """

    def __init__(
        self,
        files: Sequence[SampleFiles],
        pipeline: Callable[..., dict[str, Any]] | None,
        label_map: LabelMap,
        skip_errors: bool = False,
    ) -> None:
        self.files = files
        self.pipeline = pipeline
        self.label_map = label_map
        self.skip_errors = skip_errors
        self.maps: SegmentMaps | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            ConfigError: There is no pipeline yet.
            DataError: A file is unreadable or missing, sizes differ, or the mask stores a label outside the table.
        """
        try:
            return self._read(index)
        except DataError as error:
            if not self.skip_errors:
                raise DataError(f"{error} {SKIP_ADVICE}") from error
            nothing = torch.zeros(0)
            id_ = self.files[index].id
            return Sample(
                index=index,
                id=id_,
                image=nothing,
                rgb=nothing,
                mask=nothing,
                regions=None,
                fingerprint={},
                error=str(error),
            )

    def _read(self, index: int) -> Sample:
        if self.pipeline is None:
            msg = (
                "It is not known yet which size images are resized to, so that none can be read. Set --data.short_side "
                "(short_side=... in Python), or call use() of the data with a protocol before setup()."
            )
            raise ConfigError(msg)
        from sclip_lightning.data.reading.transforms import (
            prepare,  # most of a second, which ground truth need not wait
        )

        files = self.files[index]
        seen = stamp(files)
        content = read_bytes(files.image)
        rgb = read_image(files.image, content)
        mask = self.target(index)
        check_same_size(files, rgb.shape[:2], mask.shape)
        segments = None if self.maps is None else self.maps.read(files.map_names, mask.shape)
        return Sample(
            index=index,
            id=files.id,
            image=prepare(self.pipeline, rgb, str(files.image)),
            rgb=torch.from_numpy(rgb).permute(2, 0, 1),
            mask=torch.from_numpy(mask),
            regions=None if segments is None else torch.from_numpy(segments),
            fingerprint=fingerprint(seen, content, mask),
            error=None,
        )

    def target(self, index: int) -> npt.NDArray[np.uint8]:
        """Read the ground truth of one sample alone, [H, W] uint8; errors as for the whole sample."""
        return self._target(self.files[index])

    def changed(self, recorded: Mapping[str, Fingerprint]) -> list[str]:
        """The samples whose files are not those that records were made of; see :func:`changed_samples`."""
        return changed_samples(self.files, self._target, recorded)

    def _target(self, files: SampleFiles) -> npt.NDArray[np.uint8]:
        return self.label_map(read_mask(files.mask), files.mask)


class KeptSamples(Dataset[Sample]):
    """Keeps samples in memory once they were read, up to a limit; the others are read again each time.

    Args:
        dataset: Where samples are read. It is the same data set, whatever else changes between two readings.
        kept: Samples by index, which this fills.
        limit: Bytes that kept samples may take.
    """

    def __init__(self, dataset: SegmentationDataset, kept: dict[int, Sample], limit: int = KEPT_BYTES) -> None:
        self.dataset = dataset
        self.kept = kept
        self.limit = limit

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """The sample, read unless it is kept; errors as when it is read."""
        sample = self.kept.get(index)
        if sample is None:
            sample = self.dataset[index]
            keep(self.kept, sample, self.limit)
        return sample


def keep(kept: dict[int, Sample], sample: Sample, limit: int = KEPT_BYTES) -> None:
    """Add a sample to those in memory, unless they would then take more than so many bytes."""
    if sample["index"] in kept or sum(map(_bytes, kept.values())) + _bytes(sample) > limit:
        return
    # Copied: what another process has read lies in shared memory, of which there is little, and takes an open file.
    copies = {name: tensor.clone() for name, tensor in sample.items() if isinstance(tensor, Tensor)}
    kept[sample["index"]] = cast(Sample, {**sample, **copies})


def _bytes(sample: Sample) -> int:
    return sum(tensor.nbytes for tensor in sample.values() if isinstance(tensor, Tensor))
