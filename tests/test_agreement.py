"""Detections made while timing against those that were scored: hand-made lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mnv4bench.io.errors import FileError
from mnv4bench.io.files import write_json, write_text
from mnv4bench.latency.measure.agreement import scored, unexplained
from mnv4bench.latency.runtimes.outputs import LIMIT

SIDE = 200.0
FOUND = np.array(
    [
        [10.0, 10, 60, 60, 0.9, 0],
        [100, 100, 150, 160, 0.6, 1],
        [20, 120, 40, 150, 0.4, 0],
    ]
)


def changed(row: int, column: int, by: float) -> np.ndarray:
    rows = FOUND.copy()
    rows[row, column] += by
    return rows


def test_the_same_rows_in_any_order_agree() -> None:
    assert unexplained(FOUND[::-1], FOUND, SIDE) == 0


def test_what_rounding_moves_agrees() -> None:
    assert unexplained(changed(0, 0, 0.02), FOUND, SIDE) == 0  # 1e-4 of 200 pixels, and the stored digits
    assert unexplained(changed(1, 4, 0.9e-4), FOUND, SIDE) == 0


@pytest.mark.parametrize(("column", "by"), [(0, 0.1), (3, 0.1), (4, 0.001), (5, 1)])
def test_a_row_that_differs_counts_on_both_sides(column: int, by: float) -> None:
    assert unexplained(changed(0, column, by), FOUND, SIDE) == 2


def test_a_row_too_many_or_too_few_counts() -> None:
    assert unexplained(FOUND[:2], FOUND, SIDE) == 1
    assert unexplained(FOUND, FOUND[:2], SIDE) == 1
    assert unexplained(np.empty((0, 6)), FOUND, SIDE) == 3
    assert unexplained(np.empty((0, 6)), np.empty((0, 6)), SIDE) == 0


def test_a_row_at_the_confidence_may_be_on_one_side_alone() -> None:
    extra = np.vstack([FOUND, [150, 10, 180, 40, 0.25005, 1]])
    assert unexplained(extra, FOUND, SIDE) == 0
    extra[-1, 4] = 0.26
    assert unexplained(extra, FOUND, SIDE) == 1


def test_a_row_that_overlaps_by_the_threshold_may_be_on_one_side_alone() -> None:
    # Boxes of width 100 and 70 that begin together overlap by 0.7 exactly.
    kept = np.array([[0.0, 0, 100, 50, 0.9, 0]])
    tie = np.vstack([kept, [0, 0, 70, 50, 0.8, 0]])
    assert unexplained(tie, kept, SIDE) == 0
    tie[-1, 5] = 1  # another class is not suppressed by it
    assert unexplained(tie, kept, SIDE) == 1
    tie[-1, 2:6] = [75, 50, 0.8, 0]
    assert unexplained(tie, kept, SIDE) == 1


def test_scored_detections_come_as_corners_and_class_indices_above_the_confidence(tmp_path: Path) -> None:
    row = {"image_id": 7, "category_id": 30, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
    write_json(tmp_path / "detections.json", {"nms": [row, {**row, "score": 0.2}, {**row, "image_id": 8}]})
    rows = scored(tmp_path / "detections.json", ["nms"], (10, 30))["nms"]
    assert set(rows) == {7, 8}
    assert rows[7].tolist() == [[1.0, 2.0, 4.0, 6.0, 0.5, 1]]
    assert set(scored(tmp_path / "detections.json", ["nms"], (10, 30), images=[8, 9])["nms"]) == {8}
    with pytest.raises(FileError, match=r"detections\.json: nms_free: no such reading"):
        scored(tmp_path / "detections.json", ["nms_free"], (10, 30))
    write_text(tmp_path / "detections.json", "[{")
    with pytest.raises(FileError, match=r"detections\.json: not JSON .* score the run anew"):
        scored(tmp_path / "detections.json", ["nms"], (10, 30))


def test_rows_that_tie_with_the_last_of_as_many_as_are_reported_are_explained() -> None:
    place = np.arange(LIMIT)[:, None] * [30, 0, 30, 0] + [0, 0, 20, 20]
    full = np.column_stack([place, np.linspace(0.9, 0.5, LIMIT), np.zeros(LIMIT)])
    other = full.copy()
    other[-1, :4] += 1000  # another box of the same score
    side = 10_000.0
    assert unexplained(other, full, side) == 0
    assert unexplained(other[1:], full[1:], side) == 2  # fewer: nothing was cut off
    other[-1, 4] += 0.01
    assert unexplained(other, full, side) == 2
