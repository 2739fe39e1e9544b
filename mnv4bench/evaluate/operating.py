"""Precision, recall and F1 of each class at IoU 0.5, from match records: over recall, over confidence, and at its best.

COCOeval decides what is right, in all areas; detections that it ignores do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnv4bench.results.matches import MatchRecords

IOU = 0.5
STEPS = 101
"""Recalls and confidences at which curves are read: 0, 0.01, …, 1."""
LEVELS = np.arange(STEPS) / (STEPS - 1)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves:
    """(classes, STEPS) each; NaN where there is no value."""

    interpolated: Floats
    """Precision at recall LEVELS or beyond, whose mean is COCO's AP50; NaN for a class without objects."""
    precision: Floats
    """Of detections that score at least LEVELS; NaN where none does."""
    recall: Floats
    f1: Floats

    @property
    def mean_f1(self) -> Floats:
        """(STEPS,) mean over the classes that have objects; NaN where none has."""
        known = self.f1[~np.isnan(self.f1).any(axis=1)]
        return known.mean(axis=0) if len(known) else np.full(STEPS, np.nan)

    @property
    def best(self) -> int | None:
        """Return the place in LEVELS at which the mean F1 is highest, the lowest of several; None without objects."""
        mean = self.mean_f1
        return None if np.isnan(mean).any() else int(mean.argmax())


def curves(records: MatchRecords) -> Curves:
    """Return the curves of one reading of one run."""
    classes = range(len(records.category_ids))
    rows = [_class_curves(*_decisions(records, place)) for place in classes]
    parts = np.array(rows, np.float64).reshape(-1, 4, STEPS)
    return Curves(*(parts[:, field] for field in range(4)))


def mean(seeds: Sequence[Curves]) -> Curves:
    """Return the mean of several runs; a precision that only some have is the mean of theirs."""
    fields = ("interpolated", "precision", "recall", "f1")
    return Curves(*(_mean([getattr(seed, field) for seed in seeds]) for field in fields))


def _mean(values: Sequence[Floats]) -> Floats:
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    total, count = np.where(known, stacked, 0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _decisions(records: MatchRecords, place: int) -> tuple[Floats, NDArray[np.bool_], int]:
    """Return a class's scores, falling, which of them are right, and how many objects there are."""
    counted = (records.category == place) & ~records.ignored[0, :, 0]
    return records.score[counted], records.tp[0, counted, 0], int(records.objects[0, :, place].sum())


def _class_curves(score: Floats, right: NDArray[np.bool_], objects: int) -> tuple[Floats, Floats, Floats, Floats]:
    if not objects:
        nothing = np.full(STEPS, np.nan)
        return nothing, nothing, nothing, nothing
    hits = np.concatenate([[0], np.cumsum(right)])
    shown = np.searchsorted(-score, -LEVELS, side="right")
    found = hits[shown]
    precision = np.divide(found, shown, out=np.full(STEPS, np.nan), where=shown > 0)
    return _interpolated(hits[1:], objects), precision, found / objects, 2 * found / (shown + objects)


def _interpolated(hits: NDArray[np.int64], objects: int) -> Floats:
    """Return COCO's interpolated precision (COCOeval.accumulate)."""
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / objects, np.linspace(0, 1, STEPS))
    return np.where(places < len(hits), np.append(envelope, 0.0)[np.minimum(places, len(hits))], 0.0)
