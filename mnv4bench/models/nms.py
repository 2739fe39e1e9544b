"""From raw predictions to detections: non-maximum suppression without a clock, and the NMS-free top scores.

ultralytics stops suppressing after a time limit and returns the remaining images empty, so its AP depends on the
machine's load; these functions always finish.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def nms(boxes: Floats, scores: Floats, iou: float, limit: int | None = None) -> NDArray[np.int64]:
    """Return the indices that greedy non-maximum suppression keeps, by falling score.

    Equal to torchvision.ops.nms on CPU, also in its corners: equal scores keep their order, the overlap is computed in
    the boxes' own precision and compared as a double, and two boxes without area do not suppress each other.

    Args:
        boxes: (n, 4) corners x1, y1, x2, y2.
        scores: (n,).
        iou: A box that overlaps a kept one by more than this is dropped.
        limit: Stop once so many are kept; the result is the beginning of the unlimited one.
    """
    return _suppress(boxes, scores, np.zeros(len(scores), np.int64), iou, limit)


def read_nms(
    boxes: Floats, scores: Floats, confidence: float, iou: float, limit: int = 300, candidates: int = 30000
) -> Floats:
    """Read a one-to-many head as ultralytics' validator does: class by class, every anchor once per class it scores in.

    Classes are told apart by their index instead of by shifting the boxes, which would cost float32 coordinates up to
    1/16 of a pixel with 80 classes.

    Args:
        boxes: (anchors, 4) corners x1, y1, x2, y2.
        scores: (anchors, classes) probabilities.
        confidence: Scores must exceed it.
        iou: Overlap above which the lower score of a class is dropped.
        limit: Largest number of detections.
        candidates: Highest scores that enter suppression.

    Returns:
        (k, 6) rows x1, y1, x2, y2, score, class by falling score, in the boxes' precision.
    """
    anchors, classes = np.nonzero(scores > confidence)
    values = scores[anchors, classes]
    if len(values) > candidates:
        best = _descending(values)[:candidates]
        anchors, classes, values = anchors[best], classes[best], values[best]
    kept = _suppress(boxes[anchors], values, classes, iou, limit)
    return _rows(boxes[anchors[kept]], values[kept], classes[kept])


def read_top(boxes: Floats, scores: Floats, limit: int = 300, confidence: float | None = None) -> Floats:
    """Read a one-to-one head without NMS, in the two stages of YOLOv10's code (arXiv 2405.14458, section 3.1).

    First the anchors with the highest best score, then the highest (anchor, class) pairs among them; equal scores keep
    their order.

    Args:
        boxes: (anchors, 4) corners x1, y1, x2, y2.
        scores: (anchors, classes) probabilities.
        limit: Largest number of detections.
        confidence: Scores must exceed it; None keeps all.

    Returns:
        (k, 6) rows x1, y1, x2, y2, score, class by falling score, in the boxes' precision.
    """
    if scores.size == 0:
        return _rows(boxes[:0], np.empty(0, scores.dtype), np.empty(0, np.int64))
    count = min(limit, len(scores))
    anchors = _descending(scores.max(axis=1))[:count]
    pairs = _descending(scores[anchors].ravel())[:count]
    anchors, classes = anchors[pairs // scores.shape[1]], pairs % scores.shape[1]
    values = scores[anchors, classes]
    enough = slice(None) if confidence is None else values > confidence
    return _rows(boxes[anchors][enough], values[enough], classes[enough])


def _suppress(
    boxes: Floats, scores: Floats, classes: NDArray[np.int64], iou: float, limit: int | None
) -> NDArray[np.int64]:
    """Suppress within each class; visit all classes together by falling score, so that `limit` may stop early."""
    order = _descending(scores)
    order = order[np.argsort(classes[order], kind="stable")]
    # Each class lies in one contiguous block by falling score, so that an overlap is computed within one slice.
    sorted_classes = classes[order]
    ends = np.searchsorted(sorted_classes, sorted_classes, side="right").tolist()
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[order].T)
    areas = (x2 - x1) * (y2 - y1)
    threshold = np.float64(iou)  # a plain float would be rounded to the boxes' precision before comparing
    suppressed = np.zeros(len(order), bool)
    kept: list[int] = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for i in _visit(scores, order):
            if limit is not None and len(kept) >= limit:
                break
            if suppressed[i]:
                continue
            kept.append(i)
            rest = slice(i + 1, ends[i])
            width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
            height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
            common = np.maximum(width, 0) * np.maximum(height, 0)
            suppressed[rest] |= common / (areas[i] + areas[rest] - common) > threshold
    return order[np.array(kept, np.int64)]


def _visit(scores: Floats, order: NDArray[np.int64]) -> list[int]:
    """Return positions in `order` by falling score, equal scores by their original index."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return list(place[_descending(scores)].tolist())


def _descending(values: Floats) -> NDArray[np.int64]:
    return np.argsort(-values, kind="stable")


def _rows(boxes: Floats, scores: Floats, classes: NDArray[np.int64]) -> Floats:
    return np.column_stack([boxes, scores, classes]).astype(boxes.dtype, copy=False)
