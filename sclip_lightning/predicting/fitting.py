"""Whether the largest of the images that remain fits into memory, before the first is segmented."""

from collections.abc import Sequence

import torch

from sclip_lightning.data.reading.images import ImageFile, turned_size
from sclip_lightning.model.needs import check_memory, grows
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.settings import Settings
from sclip_lightning.vocabulary import Vocabulary

__all__ = ["check_largest"]


def check_largest(
    files: Sequence[ImageFile],
    vocabulary: Vocabulary,
    options: SegmentorOptions,
    settings: Settings,
    device: torch.device,
) -> None:
    """Refuse images of which the largest surely needs more memory than there is.

    Args:
        files: The images, whose headers can be read.
        vocabulary: The classes.
        options: Those of the segmentor.
        settings: What they come to for these classes.
        device: Where the images are segmented.

    Raises:
        DataError: See :func:`check_memory`.
    """
    names = sum(map(len, vocabulary.synonyms)), len(vocabulary.synonyms)
    if files and grows(names, settings):
        sizes = {file.path: turned_size(file.path) for file in files}
        path, size = max(sizes.items(), key=lambda item: item[1][0] * item[1][1])
        check_memory(str(path), size, names, options, settings, device)
