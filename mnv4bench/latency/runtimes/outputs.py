"""What a deployed network's raw output means: the detections in it, and whether two runtimes say the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnv4bench.models.nms import read_nms
from mnv4bench.spec.model import Read

Image = NDArray[np.float32]
"""(3, side, side) RGB in 0–1."""
Output = NDArray[np.float32]
"""Read "nms_free": (300, 6) rows of x1, y1, x2, y2, score, class. Read "nms": (4 + classes, anchors), centre-format."""

DEPLOYED_CONFIDENCE = 0.25
NMS_IOU = 0.7
LIMIT = 300
"""A deployed detector's settings, as ultralytics' predictor has them; scoring AP keeps far more."""


@dataclass(frozen=True)
class Thresholds:
    """Which detections a deployed detector reports."""

    confidence: float = DEPLOYED_CONFIDENCE
    iou: float = NMS_IOU


DEPLOYED = Thresholds()

TOLERANCE = 1e-4
"""Largest difference between two runtimes: of a score, and of a coordinate relative to the image's side."""


def detections(output: Output, read: Read, thresholds: Thresholds = DEPLOYED) -> NDArray[np.floating]:
    """Return (k, 6) rows of x1, y1, x2, y2, score, class above the confidence, in pixels of the square image."""
    if read == "nms_free":
        return output[output[:, 4] > thresholds.confidence]
    return read_nms(*corners(output), thresholds.confidence, thresholds.iou, LIMIT)


def corners(output: Output) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Split a raw "nms" output into (A, 4) corner boxes and (A, classes) scores."""
    boxes, scores = output[:4].T, output[4:].T
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1), scores


def disagreement(output: Output, expected: Output, read: Read, imgsz: int) -> float:
    """Return the largest difference of a score, or of a coordinate relative to the image's side; inf if not comparable.

    NMS-free rows are compared as a set, since near-equal scores may change places: each row of either side is compared
    with the nearest row of the same class on the other. Rows that tie with the last one may have been cut off on one
    side, so only their scores count.
    """
    if output.shape != expected.shape or not (np.isfinite(output).all() and np.isfinite(expected).all()):
        return float("inf")
    if read == "nms":
        difference = np.abs(output - expected)
        return float(max(difference[:4].max() / imgsz, difference[4:].max()))
    scores = np.abs(np.sort(output[:, 4]) - np.sort(expected[:, 4])).max()
    return float(max(scores, _to_nearest(output, expected, imgsz), _to_nearest(expected, output, imgsz)))


def _to_nearest(rows: Output, others: Output, imgsz: int) -> float:
    """Return the largest distance from one of `rows`, those beside the cut left out, to its nearest in `others`."""
    sure = rows[rows[:, 4] > rows[:, 4].min() + TOLERANCE]
    scale = np.array([imgsz] * 4 + [1.0])
    distance = (np.abs(sure[:, None, :5] - others[None, :, :5]) / scale).max(axis=2)
    distance[sure[:, None, 5] != others[None, :, 5]] = np.inf
    return float(distance.min(axis=1).max(initial=0.0))
