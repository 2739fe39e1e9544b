"""What disks, editors and people do to files."""

from __future__ import annotations

import random
import re

FOREIGN = (
    b"hello\n",
    b"{}\n",
    b"[]\n",
    b"null\n",
    b'{"run": NaN}\n',
    b"[" * 100_000,
    b'{"preset": "smoke", "state": "done"}\n',
    b"\xff\xfe\x00\x00",
    b"\x89PNG\r\n\x1a\n" + b"\x00" * 64,
    b"PK\x03\x04" + b"\x00" * 64,
    b"\x80\x04\x95cos\nsystem\n",
    b"<!DOCTYPE html><title>404</title>\n",
    b"<<<<<<< HEAD\n{}\n=======\n[]\n>>>>>>> other\n",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
)
"""Content of other kinds."""
MUTATIONS = ("truncate", "flip", "digit", "swap", "empty", "foreign")


def mutated(content: bytes, how: str, other: bytes, rng: random.Random) -> bytes:
    """Return damaged content, never equal to what was given.

    Args:
        how: one of MUTATIONS; `digit` changes one decimal digit, so that a text keeps its form.
        other: what `swap` gives back: the content of another file of the same kind.
    """
    result = content
    if how == "truncate":
        result = content[: rng.randrange(1, max(2, len(content)))]
    elif how == "digit":
        result = _other_digit(content, rng)
    elif how == "swap":
        result = other
    elif how == "empty":
        result = b""
    elif how == "foreign":
        result = rng.choice(FOREIGN)
    return result if result != content else _flipped(content, rng)


def _flipped(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return b"\x00"
    result = bytearray(content)
    for place in rng.sample(range(len(result)), min(len(result), rng.choice((1, 1, 3, 20)))):
        result[place] ^= rng.randrange(1, 256)
    return bytes(result)


def _other_digit(content: bytes, rng: random.Random) -> bytes:
    places = [match.start() for match in re.finditer(rb"\d", content)]
    if not places:
        return content
    result = bytearray(content)
    place = rng.choice(places)
    result[place] = ord(rng.choice([digit for digit in "0123456789" if ord(digit) != result[place]]))
    return bytes(result)
