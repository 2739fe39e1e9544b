"""What each arm takes for what, confusion.csv: counts over all of its seeds, without the cells that are empty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mnv4bench.evaluate.confusion import confusion
from mnv4bench.report.operating import Operating
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.columns import Column
from mnv4bench.results.detections import read_detections

BACKGROUND = "(background)"
"""Across: an object that is missed; down: a detection of nothing."""


@dataclass(frozen=True)
class ConfusionCell:
    arm: ArmResult
    confidence: float
    true: str
    detected: str
    count: int


COLUMNS: list[Column[ConfusionCell]] = [
    Column("ablation", lambda cell: cell.arm.arm.ablation),
    Column("arm", lambda cell: cell.arm.arm.name),
    Column("baseline", lambda cell: int(cell.arm.is_baseline)),
    Column("seeds", lambda cell: len(cell.arm.done)),
    Column("confidence", lambda cell: cell.confidence),
    Column("true", lambda cell: cell.true),
    Column("detected", lambda cell: cell.detected),
    Column("count", lambda cell: cell.count),
]


def rows(results: Results, found: Sequence[Operating]) -> Iterator[ConfusionCell]:
    """Yield the cells of every arm, at its confidence of the highest mean F1; detections of equal arms are read once.

    Raises:
        Mnv4benchError: detections or annotations are missing or damaged.
    """
    names = (*results.data.record.classes, BACKGROUND)
    counted: dict[object, np.ndarray] = {}
    for known in found:
        if known.confidence is None:
            continue
        if known.arm.key not in counted:
            counted[known.arm.key] = _counts(results, known.arm, known.confidence)
        for true, detected in np.argwhere(counted[known.arm.key]):
            count = int(counted[known.arm.key][true, detected])
            yield ConfusionCell(known.arm, known.confidence, names[true], names[detected], count)


def _counts(results: Results, arm: ArmResult, confidence: float) -> np.ndarray:
    objects, ids, read = results.data.annotations["annotations"], results.data.record.category_ids, arm.arm.read
    paths = [results.folder / "runs" / seed.run / "detections.json" for seed in arm.done]
    seeds = [confusion(objects, read_detections(path, [read])[read], ids, confidence) for path in paths]
    total: np.ndarray = np.sum(seeds, axis=0)
    return total
