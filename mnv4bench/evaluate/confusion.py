"""What was taken for what: objects by the class that was detected in their place, at IoU 0.5 and one confidence.

In an image detections take objects by falling score: each the free object, of whichever class, that it overlaps most
and by at least 0.5. That is the rule of ultralytics' ConfusionMatrix. An object that none takes is missed, a detection
that takes none is false; crowds are no objects, and a detection that takes none and lies on one is not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from mnv4bench.evaluate.operating import IOU

Record = Mapping[str, Any]


def confusion(
    objects: Iterable[Record], detections: Iterable[Record], category_ids: Sequence[int], confidence: float
) -> NDArray[np.int64]:
    """Return (classes + 1, classes + 1) counts: the object's class down, the detection's across, background last.

    Args:
        objects: COCO annotations: image_id, category_id, bbox (x, y, width, height), iscrowd.
        detections: COCO results: image_id, category_id, bbox, score.
        confidence: detections that score less are left out.
    """
    place = {category: index for index, category in enumerate(category_ids)}
    counts = np.zeros((len(place) + 1, len(place) + 1), np.int64)
    truth, found = by_image(objects), by_image(row for row in detections if row["score"] >= confidence)
    for image in truth.keys() | found.keys():
        pairs = _pairs(truth.get(image, []), found.get(image, []))
        for true, detected in pairs:
            counts[-1 if true is None else place[true], -1 if detected is None else place[detected]] += 1
    return counts


def by_image(rows: Iterable[Record]) -> dict[int, list[Record]]:
    """Return image id → its rows."""
    images: dict[int, list[Record]] = defaultdict(list)
    for row in rows:
        images[row["image_id"]].append(row)
    return images


def _pairs(objects: Sequence[Record], detections: Sequence[Record]) -> list[tuple[int | None, int | None]]:
    """Return (object's category, detection's category) of one image, None for background."""
    sought = [row for row in objects if not row.get("iscrowd")]
    crowds = [row["bbox"] for row in objects if row.get("iscrowd")]
    rows = sorted(detections, key=lambda row: -row["score"])
    taken = take([row["bbox"] for row in rows], [row["bbox"] for row in sought])
    on_crowd = _overlap([row["bbox"] for row in rows], crowds, crowd=True).max(axis=1, initial=0) >= IOU
    pairs: list[tuple[int | None, int | None]] = []
    for row, target, ignored in zip(rows, taken, on_crowd, strict=True):
        if target >= 0 or not ignored:
            pairs.append((sought[target]["category_id"] if target >= 0 else None, row["category_id"]))
    missed = set(range(len(sought))) - set(taken)
    return pairs + [(sought[index]["category_id"], None) for index in sorted(missed)]


def take(detections: Sequence[Sequence[float]], objects: Sequence[Sequence[float]]) -> list[int]:
    """Return the object that each detection takes, -1 for none; boxes are x, y, width, height, by falling score."""
    overlap = _overlap(detections, objects)
    taken = []
    for row in overlap:
        best = int(row.argmax()) if len(row) else -1
        if best >= 0 and row[best] >= IOU:
            overlap[:, best] = 0
        else:
            best = -1
        taken.append(best)
    return taken


def _overlap(
    detections: Sequence[Sequence[float]], objects: Sequence[Sequence[float]], crowd: bool = False
) -> NDArray[np.float64]:
    """Return (detections, objects) IoU, of crowds the share of the detection that lies on them."""
    if not detections or not objects:
        return np.zeros((len(detections), len(objects)))
    return np.array(mask.iou(list(detections), list(objects), [int(crowd)] * len(objects)))
