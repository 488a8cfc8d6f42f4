"""A record as one line of JSON that starts with the CRC-32 of the rest."""

import json
from typing import Any
from zlib import crc32

__all__ = ["pack", "unpack"]

_PREFIX = b'{"crc32": "'
_MIDDLE = b'", "record": '
_START = len(_PREFIX) + 8 + len(_MIDDLE)  # 8 digits of the checksum between them


def pack(content: dict[str, Any]) -> bytes:
    """The line that stores a record."""
    text = json.dumps(content, separators=(",", ":")).encode()
    return b"%b%08x%b%b}\n" % (_PREFIX, crc32(text), _MIDDLE, text)


def unpack(line: bytes, format_: int) -> dict[str, Any] | None:
    """The record that a line stores; None if the line is torn or damaged.

    Args:
        line: With its end.
        format_: Number of the format expected.

    Raises:
        ValueError: The line is whole, but of another format.
    """
    text = line[_START:-2]
    start = b"%b%08x%b" % (_PREFIX, crc32(text), _MIDDLE)
    if not (line.startswith(start) and line.endswith(b"}\n")):
        return None
    content: dict[str, Any] = json.loads(text)
    if content.get("format") != format_:
        found = f"has format {content['format']}" if "format" in content else "has no format number"
        raise ValueError(f"{found}, but this version of sclip_lightning reads format {format_}")
    return content
