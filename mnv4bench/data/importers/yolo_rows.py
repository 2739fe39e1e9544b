"""The rows of a YOLO label file: a class and a box, a polygon, or a box with key points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mnv4bench.data.importers.records import ImportedObject

SLACK = 1e-3
"""Fraction of the image's side by which a coordinate may leave 0–1, for rounding."""


@dataclass(frozen=True)
class RowFormat:
    classes: Sequence[str]
    keypoints: tuple[int, int] | None = None
    """ultralytics' kpt_shape: points, and numbers a point; a row is then a class, a box and the points."""

    @property
    def fields(self) -> int | None:
        return None if self.keypoints is None else 5 + self.keypoints[0] * self.keypoints[1]


def row_object(row: str, form: RowFormat, size: tuple[int, int]) -> ImportedObject | str | None:
    """Return the object of a row in an image of that width and height, or what is wrong; None for zero area."""
    fields = row.split()
    try:
        values = [float(field) for field in fields]
    except ValueError:
        return f"row {row!r} is not all numbers"
    if form.fields is not None and len(values) != form.fields:
        return f"needs class, box and key points, {form.fields} fields by kpt_shape; has {len(values)} fields"
    if form.fields is None and len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        return f"needs class, centre x and y, width, height, or class and a polygon; has {len(values)} fields"
    if not all(math.isfinite(value) for value in values):
        return f"row {row!r} is not finite"
    if values[0] not in range(len(form.classes)):
        return f"class {fields[0]} is not in names (0 to {len(form.classes) - 1})"
    left, top, right, bottom = _corners(values[1:5] if form.keypoints else values[1:])
    if right < left or bottom < top:
        return f"box {' '.join(fields[1:])} has a negative side"
    if right == left or bottom == top:
        return None
    if min(left, top) < -SLACK or max(right, bottom) > 1 + SLACK:
        return f"box {' '.join(fields[1:])} leaves the image (coordinates are fractions of its sides)"
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, 1), min(bottom, 1)
    width, height = size
    box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
    box = [round(value, 3) for value in box]
    # Clipping and rounding leave nothing of some boxes.
    return ImportedObject(form.classes[int(values[0])], box) if min(box[2:]) > 0 else None


def _corners(values: Sequence[float]) -> tuple[float, float, float, float]:
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
