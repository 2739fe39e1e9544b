"""Whether the detections made while timing are those that were scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv4bench.latency.runtimes.outputs import DEPLOYED, DEPLOYED_CONFIDENCE, LIMIT, TOLERANCE, Thresholds
from mnv4bench.results.detections import read_detections
from mnv4bench.spec.model import Read

ROUNDING = 0.011
"""Pixels by which a stored coordinate may differ from the computed one: position and size are rounded to 0.01."""
NEAR_TIE = 2e-3
"""Distance from the suppression threshold within which rounding may decide otherwise."""

Rows = NDArray[np.floating]
"""(k, 6) x1, y1, x2, y2 in pixels of the image, score, class index."""


def scored(
    path: Path, reads: Iterable[Read], category_ids: tuple[int, ...], images: Collection[int] | None = None
) -> dict[Read, dict[int, Rows]]:
    """Return reading → image id → what evaluation found above the deployed confidence.

    Args:
        path: detections.json, which holds the detections of the whole split: 87 MB for COCO's.
        images: ids of the images that are wanted; None for all.

    Raises:
        FileError: the file is missing, damaged, or lacks a reading.
    """
    return {read: _by_image(rows, category_ids, images) for read, rows in read_detections(path, reads).items()}


def _by_image(
    detections: Iterable[Mapping[str, Any]], category_ids: tuple[int, ...], images: Collection[int] | None
) -> dict[int, Rows]:
    index = {category: place for place, category in enumerate(category_ids)}
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for detection in detections:
        image = detection["image_id"]
        if detection["score"] > DEPLOYED_CONFIDENCE and (images is None or image in images):
            x, y, width, height = detection["bbox"]
            rows[image].append([x, y, x + width, y + height, detection["score"], index[detection["category_id"]]])
    return {image: np.array(lines) for image, lines in rows.items()}


def unexplained(rows: Rows, expected: Rows, side: float, thresholds: Thresholds = DEPLOYED) -> int:
    """Return how many rows of either side the other lacks, and no rounding explains.

    A row's twin has its class, its score and its box within the tolerance that runtimes have. A row without twin is
    explained where the last digit decides, which differs between runtimes: when its score lies at the confidence, or at
    the lowest one of as many rows as are reported at most, or when it overlaps another row of its class about as much
    as suppression tolerates.

    Args:
        side: longer side of the image in pixels, which coordinates are relative to.
    """
    rows, expected = rows.reshape(-1, 6), expected.reshape(-1, 6)
    everything = np.concatenate([rows, expected])
    unmatched = [*_without_twin(rows, expected, side), *_without_twin(expected, rows, side)]
    cuts = [thresholds.confidence, *(float(kept[:, 4].min()) for kept in (rows, expected) if len(kept) == LIMIT)]
    return sum(not _explained(row, everything, max(cuts), thresholds.iou) for row in unmatched)


def _without_twin(rows: Rows, others: Rows, side: float) -> list[Rows]:
    allowed = np.array([TOLERANCE * side + ROUNDING] * 4 + [TOLERANCE, 0])
    near: NDArray[np.bool_] = np.all(np.abs(rows[:, None] - others[None]) <= allowed, axis=2)
    return list(rows[~near.any(axis=1)])


def _explained(row: Rows, everything: Rows, cut: float, iou: float) -> bool:
    """Return whether the last digit decides: of a score, which must exceed `cut`, or of an overlap."""
    if abs(row[4] - cut) <= TOLERANCE:
        return True
    same = everything[everything[:, 5] == row[5]]
    corner = np.minimum(row[2:4], same[:, 2:4]) - np.maximum(row[:2], same[:, :2])
    common = np.maximum(corner, 0).prod(axis=1)
    areas = (same[:, 2:4] - same[:, :2]).prod(axis=1)
    overlap = common / np.maximum(areas + (row[2:4] - row[:2]).prod() - common, 1e-12)
    return bool((np.abs(overlap - iou) <= NEAR_TIE).any())
