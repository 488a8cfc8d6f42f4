"""Image files byte by byte, of kinds that Pillow reads but does not write."""

import struct
import zlib

import numpy as np


def png(values, bits, colour=0):
    """A PNG that stores [H, W] or [H, W, channels] values in so many bits; colour 0 is grey, 2 RGB, 3 a palette."""
    values = np.asarray(values)
    rows = values.reshape(len(values), -1)
    width = rows.shape[1] // {0: 1, 2: 3, 3: 1}[colour]
    lines = b"".join(b"\0" + packed(row, bits) for row in rows)
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    palette = _chunk(b"PLTE", bytes(i % 256 for i in range(3 * 2**bits))) if colour == 3 else b""
    body = _chunk(b"IHDR", header) + palette + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def grey_tiff(values, bits, white_is_zero=False):
    """An uncompressed grey TIFF with one strip."""
    values = np.asarray(values)
    strip = b"".join(packed(row, bits, "<") for row in values)
    entries = {
        256: values.shape[1],
        257: values.shape[0],
        258: bits,
        259: 1,
        262: 0 if white_is_zero else 1,
        273: 0,
        277: 1,
        278: values.shape[0],
        279: len(strip),
    }
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, n) for tag, n in entries.items()
    )
    return struct.pack("<2sHI", b"II", 42, 8) + directory + struct.pack("<I", 0) + strip


def packed(row, bits, order=">"):
    """Values one after the other in so many bits each, filled up to whole bytes."""
    if bits >= 8:
        return np.asarray(row).astype(f"{order}u{bits // 8}").tobytes()
    text = "".join(format(int(value), f"0{bits}b") for value in row)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
