"""Size, orientation and sum of every image of a source, each file read once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4bench.data.content import file_content
from mnv4bench.data.decode import decode, orientation
from mnv4bench.io.errors import DataError

ROTATED = "Boxes rotated, since the size is given as before the image's EXIF orientation"


@dataclass(frozen=True)
class Picture:
    width: int
    """Of the upright image."""
    height: int
    orientation: int
    """EXIF's, 1 to 8."""
    sha256: str

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height in the file, before the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def measure(paths: Iterable[Path]) -> tuple[dict[Path, Picture], list[str]]:
    """Decode images in full; return what is known of them, and the problems, a line each."""
    wanted = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(wanted, pool.map(_measure, wanted), strict=True))
    pictures = {path: result for path, result in results.items() if isinstance(result, Picture)}
    return pictures, [result for result in results.values() if isinstance(result, str)]


def _measure(path: Path) -> Picture | str:
    try:
        content = file_content(path)
        height, width = decode(content, path, whole=True).shape[:2]
        return Picture(width, height, orientation(content), hashlib.sha256(content).hexdigest())
    except DataError as error:
        return str(error)


def is_turned(size: tuple[Any, Any], picture: Picture) -> bool | None:
    """Return whether a source gives the stored image's size and not the upright one's; None where it is neither's."""
    if size == (picture.width, picture.height):
        return False
    return True if size == picture.stored else None


def turned(box: list[float], picture: Picture) -> list[float]:
    """Return a box of the stored image, [x, y, width, height], in the upright one (EXIF, tag 0x0112)."""
    x, y, width, height = box
    if picture.orientation >= 5:
        x, y, width, height = y, x, height, width
    if picture.orientation in (2, 3, 6, 7):
        x = picture.width - x - width
    if picture.orientation in (3, 4, 7, 8):
        y = picture.height - y - height
    return [x, y, width, height]
