"""A PNG writer whose bytes depend on the pixels alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_STORED_LIMIT = 65535


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an 8-bit RGB PNG (ISO/IEC 15948) of an array of shape (height, width, 3).

    The deflate stream (RFC 1951) consists of stored blocks, so equal pixels give equal bytes on every machine.
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # every row starts with filter type 0
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", _store(rows.tobytes())) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _store(raw: bytes) -> bytes:
    # zlib.compress would be shorter, but its output differs between zlib, zlib-ng and their versions, even at level 0;
    # the two checksums are defined by standards and differ nowhere.
    blocks = []
    for start in range(0, len(raw), _STORED_LIMIT):
        part = raw[start : start + _STORED_LIMIT]
        last = start + _STORED_LIMIT >= len(raw)
        blocks.append(struct.pack("<B2H", last, len(part), len(part) ^ 0xFFFF) + part)
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(raw))
