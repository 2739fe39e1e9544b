"""AP of what a runtime computes: the price of its quantisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv4bench.data.letterbox import letterbox
from mnv4bench.evaluate import coco as coco_eval
from mnv4bench.evaluate.detections import LOWEST_SCORE, MAX_DETECTIONS, coco_rows, read_rows
from mnv4bench.latency.runtimes.outputs import Output, corners
from mnv4bench.latency.runtimes.runtime import Runtime
from mnv4bench.spec.model import Read


@dataclass(frozen=True)
class Split:
    """The images and objects to score on."""

    annotations: Path
    images: Path
    category_ids: tuple[int, ...]
    imgsz: int


def average_precision(runtime: Runtime, read: Read, split: Split) -> float | None:
    """Return COCO's AP on 0–1 of a loaded runtime over a whole split, read as evaluation reads it."""
    truth = coco_eval.ground_truth(split.annotations)
    results: list[dict[str, Any]] = []
    for image in sorted(truth.imgs):
        letterboxed = letterbox(split.images / truth.imgs[image]["file_name"], split.imgsz)
        rows = _detections(runtime(letterboxed.pixels), read)
        results.extend(coco_rows(image, letterboxed, rows, split.category_ids))
    return coco_eval.reading(coco_eval.evaluate(truth, results, max_dets=MAX_DETECTIONS)).scores.AP


def _detections(output: Output, read: Read) -> np.ndarray:
    if read == "nms":
        return read_rows(read, *corners(output))
    best = output[output[:, 4] > LOWEST_SCORE]
    return best[np.argsort(-best[:, 4], kind="stable")][:MAX_DETECTIONS]
