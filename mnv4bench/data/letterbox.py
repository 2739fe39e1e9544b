"""Reading an image for evaluation and timing, and taking boxes back to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mnv4bench.data.decode import read_image
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
        DataError: the file is not an image that can be decoded, or too thin for a square of that side.
    """
    image = read_image(path)
    height, width = image.shape[:2]
    fault = too_thin(width, height, side)
    if fault:
        raise DataError(f"{path}: {fault}")
    new_width, new_height = fitted(width, height, side)
    if (new_width, new_height) != (width, height):
        image = np.asarray(cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR), np.uint8)
    left, top = (side - new_width) // 2, (side - new_height) // 2
    canvas = np.full((side, side, 3), GREY, np.uint8)
    canvas[top : top + new_height, left : left + new_width] = image
    pixels = np.ascontiguousarray(canvas.transpose(2, 0, 1)).astype(np.float32) / 255
    return Letterboxed(pixels, side / max(height, width), left, top, height, width)


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """Return the width and height that an image is resized to."""
    scale = side / max(height, width)
    return min(round(width * scale), side), min(round(height * scale), side)


def too_thin(width: int, height: int, side: int) -> str | None:
    """Return what is wrong with an image whose shorter side would be rounded to nothing."""
    if min(fitted(width, height, side)) > 0:
        return None
    return f"{width}×{height} pixels, of which nothing is left at {side} pixels; crop it, or raise imgsz"
