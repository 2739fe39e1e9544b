"""Reading an image for evaluation and timing, and taking boxes back to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mnv4bench.data.decode import read_image
from mnv4bench.io.errors import DataError

GREY = 114
"""Padding value, as in training."""

Fit = Literal["letterbox", "stretch"]
"""How an image becomes square: padded, as YOLO is trained; or each side resized by itself, as RT-DETR is."""


@dataclass(frozen=True)
class Letterboxed:
    """A square image and how it was made."""

    pixels: np.ndarray
    """(3, side, side) float32 RGB in 0–1."""
    scale: tuple[float, float]
    """Horizontal and vertical."""
    left: int
    top: int
    height: int
    """Of the original, in pixels."""
    width: int

    def restore(self, boxes: np.ndarray) -> np.ndarray:
        """Take (n, 4) x1, y1, x2, y2 boxes from the square image to the original, clipped to it."""
        restored = (boxes - [self.left, self.top, self.left, self.top]) / [*self.scale, *self.scale]
        return np.clip(restored, 0, [self.width, self.height, self.width, self.height])


def fit_of(model: object) -> Fit:
    """Return how a network wants its images; those of ultralytics' own classes do not say."""
    fit: Fit = getattr(model, "fit", "letterbox")
    return fit


def into_square(path: Path, side: int, fit: Fit) -> Letterboxed:
    """Read an image as a network wants it.

    Raises:
        DataError: as for `letterbox`.
    """
    return letterbox(path, side) if fit == "letterbox" else _stretched(path, side)


def _stretched(path: Path, side: int) -> Letterboxed:
    image = read_image(path)
    height, width = image.shape[:2]
    image = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    return Letterboxed(_planes(image), (side / width, side / height), 0, 0, height, width)


def _planes(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 255


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
    scale = side / max(height, width)
    return Letterboxed(_planes(canvas), (scale, scale), left, top, height, width)


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """Return the width and height that an image is resized to."""
    scale = side / max(height, width)
    return min(round(width * scale), side), min(round(height * scale), side)


def too_thin(width: int, height: int, side: int) -> str | None:
    """Return what is wrong with an image whose shorter side would be rounded to nothing."""
    if min(fitted(width, height, side)) > 0:
        return None
    return f"{width}×{height} pixels, of which nothing is left at {side} pixels; crop it, or raise imgsz"
