"""Reading an image for evaluation and timing, and taking boxes back to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mnv4bench.io.errors import DataError

GREY = 114
"""Padding value, as in training."""


@dataclass(frozen=True)
class Letterboxed:
    """A square image and how it was made."""

    pixels: np.ndarray
    """(3, side, side) float32 RGB in 0–1."""
    scale: float
    left: int
    top: int
    height: int
    """Of the original, in pixels."""
    width: int

    def restore(self, boxes: np.ndarray) -> np.ndarray:
        """Take (n, 4) x1, y1, x2, y2 boxes from the square image to the original, clipped to it."""
        restored = (boxes - [self.left, self.top, self.left, self.top]) / self.scale
        return np.clip(restored, 0, [self.width, self.height, self.width, self.height])


def letterbox(path: Path, side: int) -> Letterboxed:
    """Read an image and fit it into a square: longer side resized to `side`, the rest grey, centred.

    Raises:
        DataError: the file is not an image that can be decoded.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path}: not a readable image; run `mnv4bench check`")
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_width, new_height = min(round(width * scale), side), min(round(height * scale), side)
    if (new_width, new_height) != (width, height):
        image = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    left, top = (side - new_width) // 2, (side - new_height) // 2
    canvas = np.full((side, side, 3), GREY, np.uint8)
    canvas[top : top + new_height, left : left + new_width] = image
    pixels = np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1)).astype(np.float32) / 255
    return Letterboxed(pixels, scale, left, top, height, width)
