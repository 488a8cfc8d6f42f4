"""Damaged image files: each must end in pixels, or in one sentence about that file.

A number gives a file: one of a few whole ones, damaged in one to four places, most of them near its beginning where
headers lie. The test takes the first few hundred numbers; a longer run is ``python -m tests.faults.fuzz --minutes 30``,
which prints the numbers of whatever went wrong, and ``--first N --count 1`` looks at one of them again.
"""

import argparse
import faulthandler
import io
import random
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from sclip_lightning.data.reading.images import to_rgb
from sclip_lightning.data.reading.masks import LabelMap, image_size, mask_size, read_image, read_mask
from sclip_lightning.data.reading.transforms import image_pipeline, prepare
from sclip_lightning.errors import DataError
from tests.stored_images import grey_tiff, png

#: Values that decoders stumble over.
NUMBERS = (0, 1, 2, 4, 7, 8, 16, 127, 128, 254, 255)
LONG_NUMBERS = (0, 1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
#: Pixels that a header may promise here; the real limit is 20 times as many, and costs seconds.
MOST_PIXELS = 2**22


@cache
def whole_files():
    """Bytes of files by their suffix: every format and form that is likely to be met."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(256, size=(12, 17, 3), dtype=np.uint8)
    labels = (np.arange(12 * 17) % 16).astype(np.uint8).reshape(12, 17)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0100] = 6, "maker", 17

    def saved(array, kind, mode=None, **options):
        buffer = io.BytesIO()
        image = Image.fromarray(array)
        (image.convert(mode) if mode else image).save(buffer, kind, **options)
        return buffer.getvalue()

    matlab = io.BytesIO()
    savemat(matlab, {"LabelMap": labels.astype(np.uint16)}, do_compression=True)
    return [
        (".png", png(labels, 4)),
        (".png", png(labels, 8, colour=3)),
        (".png", png(labels.astype(np.uint16) * 300, 16)),
        (".png", saved(rgb, "PNG", "RGBA", exif=exif)),
        (".png", saved(rgb, "PNG", "P", transparency=3)),
        (".jpg", saved(rgb, "JPEG", exif=exif)),
        (".jpg", saved(rgb, "JPEG", "L", progressive=True)),
        (".jpg", saved(rgb, "JPEG", "CMYK", icc_profile=b"profile")),
        (".tif", grey_tiff(labels, 4)),
        (".tif", saved(labels.astype(np.int32), "TIFF")),
        (".tif", saved(rgb, "TIFF", compression="tiff_lzw", exif=exif)),
        (".tif", saved(rgb, "TIFF", compression="tiff_adobe_deflate")),
        (".webp", saved(rgb, "WEBP", exif=exif)),
        (".webp", saved(rgb, "WEBP", "RGBA", lossless=True)),
        (".bmp", saved(labels, "BMP")),
        (".gif", saved(rgb, "GIF", "P")),
        (".mat", matlab.getvalue()),
    ]


def damaged(number):
    """Suffix and bytes of the damaged file of a number."""
    chance = random.Random(number)
    suffix, content = whole_files()[number % len(whole_files())]
    content = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        damage(content, chance)
    if suffix == ".png" and chance.random() < 0.7:
        make_checksums_right(content)  # else almost everything ends there
    return suffix, bytes(content)


def damage(content, chance):
    """Change one place of a file."""
    if not content:
        return
    end = len(content) if chance.random() < 0.3 else min(len(content), 200)
    place = chance.randrange(end)
    kind = chance.choice(("bit", "bit", "byte", "number", "number", "cut", "insert", "remove", "repeat"))
    length = chance.choice((1, 2, 4, 12, 50))
    if kind == "bit":
        content[place] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        content[place] = chance.choice(NUMBERS)
    elif kind == "number":
        content[place : place + 4] = struct.pack(chance.choice("<>") + "I", chance.choice(LONG_NUMBERS))
    elif kind == "cut":
        del content[place:]
    elif kind == "insert":
        content[place:place] = chance.randbytes(length)
    elif kind == "remove":
        del content[place : place + length]
    else:
        content[place:place] = content[place : place + length]


def make_checksums_right(content):
    """Give every chunk of a PNG the checksum of what it holds now."""
    place = 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            return
        struct.pack_into(">I", content, end, zlib.crc32(content[place + 4 : end]))
        place = end + 4


def resized(path):
    return prepare(image_pipeline(16), read_image(path), str(path))


def labels(path):
    return LabelMap.identity(16)(read_mask(path), path)


READERS = {reader.__name__: reader for reader in (image_size, read_image, to_rgb, mask_size, labels, resized)}


def look_at(path):
    """What all readers make of a file: by name what they return, or None where they refuse it in an orderly way.

    Raises:
        AssertionError: What they return is no image, or what they say no sentence about the file.
        Exception: What no reader may let through.
    """
    found = {}
    for name, reader in READERS.items():
        try:
            found[name] = reader(path)
        except DataError as error:
            message = str(error)
            assert str(path) in message, message
            assert "\n" not in message, message
            assert message.endswith("."), message
            found[name] = None
    for name in ("read_image", "to_rgb"):
        if found[name] is not None:
            assert found[name].dtype == np.uint8, found[name].dtype
            assert found[name].ndim == 3, found[name].shape
            assert found[name].shape[2] == 3, found[name].shape
    if found["labels"] is not None:
        assert found["labels"].dtype == np.uint8, found["labels"].dtype
        assert set(np.unique(found["labels"])) <= {*range(16), 255}
        assert tuple(found["mask_size"]) == found["labels"].shape
    if found["read_image"] is not None:
        assert found["image_size"] == found["read_image"].shape[:2]
    return found


def attempt(number, folder):
    """Look at the damaged file of a number.

    Returns:
        Names of the readers that could read it.
    """
    suffix, content = damaged(number)
    path = Path(folder) / f"damaged{suffix}"
    path.write_bytes(content)
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [name for name, value in look_at(path).items() if value is not None]
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def main():
    parser = argparse.ArgumentParser(description="Read damaged image files, as many as there is time for.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--first", type=int, default=1000, help="number of the first file")
    parser.add_argument("--count", type=int, help="how many, whatever time that takes")
    options = parser.parse_args()
    faulthandler.enable()
    outcomes, wrong, slowest = Counter(), [], (0.0, None)
    number, end = options.first, time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        while number < options.first + options.count if options.count else time.monotonic() < end:
            if number % 5000 == 0:
                print(f"{number} ...", flush=True)
            started = time.monotonic()
            try:
                outcomes["read" if attempt(number, folder) else "refused"] += 1
            except Exception:
                wrong.append(number)
                traceback.print_exc()
                print(f"^ number {number}", flush=True)
            slowest = max(slowest, (time.monotonic() - started, number))
            number += 1
    print(
        f"{number - options.first} files: {outcomes['read']} read in some way, {outcomes['refused']} refused in one "
        f"sentence, {len(wrong)} neither: {wrong[:50]}. Slowest: {slowest[0]:.2f} s, number {slowest[1]}."
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
