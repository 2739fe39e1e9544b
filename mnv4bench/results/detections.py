"""runs/<run>/detections.json: what a run detects in the validation images, by each way of reading its head."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mnv4bench.io.errors import FileError
from mnv4bench.io.files import read_json, write_text
from mnv4bench.results import manifest
from mnv4bench.spec.model import Read

Detections = list[dict[str, Any]]
"""COCO's result format: image_id, category_id, bbox [x, y, width, height] in pixels of the image, score."""
FIELDS = {"image_id", "category_id", "bbox", "score"}
REMEDY = "delete metrics.json beside it and start again to score the run anew"


def write_detections(path: Path, detections: Mapping[Read, Detections]) -> None:
    write_text(path, json.dumps(detections, separators=(",", ":")) + "\n")


def read_detections(path: Path, reads: Iterable[Read]) -> dict[Read, Detections]:
    """Return the detections of some readings.

    Raises:
        FileError: the file is missing or damaged, or lacks a reading.
    """
    content = read_json(path, REMEDY)
    result: dict[Read, Detections] = {}
    for read in reads:
        rows = content.get(read) if isinstance(content, dict) else None
        if rows is None:
            raise FileError(f"{path}: {read}: no such reading; {REMEDY}")
        if not (isinstance(rows, list) and all(isinstance(row, dict) and row.keys() == FIELDS for row in rows)):
            raise FileError(f"{path}: {read}: not detections; {REMEDY}")
        result[read] = rows
    manifest.check(path)
    return result
