"""AP of what a runtime computes: the price of its quantisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv4bench.data.letterbox import Fit, into_square
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
    fit: Fit = "letterbox"


def average_precision(runtime: Callable[[Image], Output], read: Read, split: Split) -> float | None:
    """Return COCO's AP on 0–1 of a loaded runtime over a whole split, read as evaluation reads it."""
    truth = coco_eval.ground_truth(split.annotations)
    images = [truth.imgs[image] for image in sorted(truth.imgs)]
    results = detect(runtime, read, images, split.images, split.imgsz, split.category_ids, split.settings, split.fit)
    return coco_eval.reading(coco_eval.evaluate(truth, results)).scores.AP


def detect(
    runtime: Callable[[Image], Output],
    read: Read,
    images: Iterable[Mapping[str, Any]],
    folder: Path,
    imgsz: int,
    category_ids: Sequence[int],
    settings: Settings,
    fit: Fit,
) -> Detections:
    """Return what a loaded runtime detects in images, which are given as COCO's records."""
    results: Detections = []
    for image in images:
        boxed = into_square(folder / image["file_name"], imgsz, fit)
        rows = _kept(runtime(boxed.pixels), read, settings)
        results.extend(coco_rows(image["id"], boxed, rows, category_ids))
    return results


def _kept(output: Output, read: Read, settings: Settings) -> np.ndarray:
    if read == "nms":
        return read_rows(read, *corners(output), settings)
    return top_rows(output, settings)
