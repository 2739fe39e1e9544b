"""AP of what a runtime computes: the price of its quantisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from mnv4bench.data.letterbox import letterbox
from mnv4bench.evaluate import coco as coco_eval
from mnv4bench.evaluate.detections import coco_rows
from mnv4bench.evaluate.settings import TRAINED, Settings, read_rows, top_rows
from mnv4bench.latency.runtimes.outputs import Image, Output, corners
from mnv4bench.results.detections import Detections
from mnv4bench.spec.model import Read


@dataclass(frozen=True)
class Split:
    """The images and objects to score on."""

    annotations: Path
    images: Path
    category_ids: tuple[int, ...]
    imgsz: int
    settings: Settings = TRAINED


def average_precision(runtime: Callable[[Image], Output], read: Read, split: Split) -> float | None:
    """Return COCO's AP on 0–1 of a loaded runtime over a whole split, read as evaluation reads it."""
    truth = coco_eval.ground_truth(split.annotations)
    results = detect(runtime, read, truth, split)
    return coco_eval.reading(coco_eval.evaluate(truth, results)).scores.AP


def detect(runtime: Callable[[Image], Output], read: Read, truth: COCO, split: Split) -> Detections:
    """Return what a loaded runtime detects in every image of a split."""
    results: Detections = []
    for image in sorted(truth.imgs):
        boxed = letterbox(split.images / truth.imgs[image]["file_name"], split.imgsz)
        rows = _kept(runtime(boxed.pixels), read, split.settings)
        results.extend(coco_rows(image, boxed, rows, split.category_ids))
    return results


def _kept(output: Output, read: Read, settings: Settings) -> np.ndarray:
    if read == "nms":
        return read_rows(read, *corners(output), settings)
    return top_rows(output, settings)
