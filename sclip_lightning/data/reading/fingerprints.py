"""What an image and its ground truth are, in a few digits, so that a run does not go on with others.

The checksums are of the image file's bytes and of the labels that the mask decodes to; a mask that is merely compressed
anew is the same. Beside them stands what the file system says of both files: sizes, and times of the last change of
content and of place. While these are the same the files are not read again, and going on with 5000 images costs a look
at 10000 entries; where they differ (a copy of the data set, say) the files are read, and the checksums decide.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sclip_lightning.data.reading.layout import HEADER_THREADS, SampleFiles
from sclip_lightning.data.reading.pixels import COPY_AGAIN, decoding, read_bytes
from sclip_lightning.errors import DataError

__all__ = ["Fingerprint", "changed_samples", "fingerprint", "labels_checksum", "stamp"]

#: ``image`` and ``labels``, hex digests, and ``stamp``, see :func:`stamp`; a plain dictionary, as records store it.
Fingerprint = dict[str, str]


def stamp(files: SampleFiles) -> str:
    """Size in bytes, and times in nanoseconds of the last change of content and of the file's entry, of both files.

    The entry's time is that of the copy, whatever time the copying program passed on as that of the content. Take it
    before a file is read, so that a change in between is found later.

    Raises:
        DataError: A file is not there.
    """
    return ",".join(map(_stamp, (files.image, files.mask)))


def fingerprint(stamp: str, content: bytes, labels: npt.NDArray[np.uint8]) -> Fingerprint:
    """What a record keeps of a sample.

    Args:
        stamp: See :func:`stamp`.
        content: The bytes of the image's file.
        labels: [H, W] train ids.
    """
    return {"image": _digest(content), "labels": labels_checksum(labels), "stamp": stamp}


def labels_checksum(labels: npt.NDArray[np.uint8]) -> str:
    """Hex digest of [H, W] train ids, their shape included."""
    return _digest(f"{labels.shape[0]} {labels.shape[1]} ".encode() + labels.tobytes())


def changed_samples(
    files: Sequence[SampleFiles],
    target: Callable[[SampleFiles], npt.NDArray[np.uint8]],
    recorded: Mapping[str, Fingerprint],
) -> list[str]:
    """The samples whose files are not those that a record was made of, in words.

    Args:
        files: The samples at hand.
        target: Reads the [H, W] train ids of one.
        recorded: What records say, by id; samples without are passed over.
    """

    def change(sample: SampleFiles) -> str | None:
        known = recorded[sample.id]
        try:
            if stamp(sample) == known["stamp"]:
                return None
            # Checksums that were not taken, as of images whose labels alone are scored, are not compared.
            if known["image"] not in ("", _digest(read_bytes(sample.image))):
                return f"the image {sample.image}"
            if labels_checksum(target(sample)) != known["labels"]:
                return f"the mask {sample.mask}"
        except DataError as error:
            return f"{sample.id}, of which now {error}"
        return None

    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        return [found for found in pool.map(change, [one for one in files if recorded.get(one.id)]) if found]


def _stamp(path: Path) -> str:
    with decoding(str(path), COPY_AGAIN):
        status = os.stat(path)  # noqa: PTH116  one call for all three
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _digest(content: bytes) -> str:
    """Enough to find a changed file; nobody is kept from making two of one digest on purpose."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
