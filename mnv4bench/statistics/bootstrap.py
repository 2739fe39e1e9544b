"""AP of resampled images, from match records: nothing is matched or evaluated again.

Everything here is a pure function of arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mnv4bench.io.errors import DataError
from mnv4bench.results.matches import AREAS, RECALLS, MatchRecords

_BLOCK = 1 << 22
"""Replicates × detections of a class at a time. Chunk size: amortises the GIL at tens of MB per thread."""

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]


def average_precision(records: MatchRecords, weights: Integers | None = None, area: str = "all") -> float:
    """Return COCO's AP on 0–1 with image i counted weights[i] times; NaN where no object is left.

    Equal to COCOeval on a split that holds every image that many times (copies of a detection share its place in the
    order). Weights of 0 and 1 select a subset.

    Args:
        weights: (images,) non-negative integers; None counts every image once.
        area: One of mnv4bench.results.matches.AREAS.
    """
    whole = np.ones(len(records.image_ids), np.int64) if weights is None else np.asarray(weights)
    return float(bootstrap_ap(records, whole[None], area)[0])


def bootstrap_weights(images: int, replicates: int, seed: int) -> Integers:
    """Return (replicates, images) counts of `images` draws with replacement, from PCG64(seed)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.multinomial(images, np.full(images, 1 / images), size=replicates)


def bootstrap_ap(records: MatchRecords, weights: Integers, area: str = "all") -> Floats:
    """Return (replicates,) COCO AP on 0–1, each as `average_precision` of one row of `weights`.

    Nothing is matched again: true and false positives are weighted cumulative sums (COCOeval.accumulate, with weights).

    Args:
        weights: (replicates, images) non-negative integers.

    Raises:
        DataError: weights of another number of images.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.shape[1] != len(records.image_ids):
        raise DataError(f"weights: shape {weights.shape}, need (replicates, {len(records.image_ids)} images)")
    place = AREAS.index(area)
    events = [_class_events(records, place, k) for k in range(len(records.category_ids))]
    longest = max((len(group.images) for event in events for group in event.groups), default=1)
    size = max(1, _BLOCK // longest)
    blocks = [weights[start : start + size] for start in range(0, len(weights), size)]
    parts = [_block_ap(events, block.astype(np.int32)) for block in blocks]
    return np.concatenate([np.empty(0), *parts])


@dataclass(frozen=True)
class _Events:
    """The detections of one class that can move its AP, for thresholds that ignore the same detections.

    Precision is only ever read where recall rises, so false positives matter as counts between right detections,
    and those after the last one not at all.
    """

    images: Integers
    """Image of every detection that counts, by falling score."""
    starts: Integers
    """Where each right detection's stretch of `images` begins; it ends with the right detection itself."""
    right: tuple[Integers, ...]
    """For each threshold: which stretches end with a detection that is right at it."""


@dataclass(frozen=True)
class _Class:
    objects: Integers
    """(images,)"""
    thresholds: int
    groups: tuple[_Events, ...]


def _class_events(records: MatchRecords, area: int, category: int) -> _Class:
    first, last = np.searchsorted(records.category, [category, category + 1])
    tp, ignored = records.tp[area, first:last], records.ignored[area, first:last]
    image = records.image[first:last]
    # Without crowds and area limits all ten thresholds fall into one group, and detections are counted once.
    columns: dict[bytes, list[int]] = {}
    for threshold in range(tp.shape[1]):
        columns.setdefault(ignored[:, threshold].tobytes(), []).append(threshold)
    groups = []
    for thresholds in columns.values():
        counts = ~ignored[:, thresholds[0]]
        right = tp[counts][:, thresholds]
        ends = np.flatnonzero(right.any(axis=1))
        if len(ends):
            starts = np.concatenate([[0], ends[:-1] + 1])
            groups.append(
                _Events(
                    image[counts][: ends[-1] + 1], starts, tuple(np.flatnonzero(column) for column in right[ends].T)
                )
            )
    return _Class(records.objects[area, :, category], tp.shape[1], tuple(groups))


def _block_ap(classes: Sequence[_Class], weights: Integers) -> Floats:
    """Return AP of each row of `weights` (replicates, images); NaN where no class has an object."""
    total = np.zeros(len(weights))
    present = np.zeros(len(weights), np.int64)
    for category in classes:
        objects = weights @ category.objects
        summed = np.zeros(len(weights))
        for group in category.groups:
            for precision in _group_precisions(group, objects, weights):
                summed += precision
        total += np.where(objects > 0, summed / category.thresholds, 0)
        present += objects > 0
    average: Floats = np.divide(total, present, out=np.full(len(total), np.nan), where=present > 0)
    return average


def _group_precisions(group: _Events, objects: Integers, weights: Integers) -> Iterator[Floats]:
    """Yield (replicates,) mean interpolated precision of each threshold."""
    # Everything is (replicates, detections) in C order, as `take` returns it: NumPy accumulates along the last axis
    # several times faster. A plain sum, because einsum's last digit depends on the processor.
    counted = np.add.reduceat(weights.take(group.images, axis=1), group.starts, axis=1, dtype=np.int32).cumsum(axis=1)
    counted = counted + np.spacing(1)
    rights = weights.take(group.images[np.append(group.starts[1:], len(group.images)) - 1], axis=1)
    levels, first = _levels_reached(objects)
    for right in group.right:
        if not len(right):
            continue
        tp = rights.take(right, axis=1).cumsum(axis=1, dtype=np.int32)
        precision = tp / counted.take(right, axis=1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = levels[tp + first[:, None]]
        reached[:, 1:] -= reached[:, :-1].copy()
        yield (envelope * reached).sum(axis=1) / len(RECALLS)


def _levels_reached(objects: Integers) -> tuple[Integers, Integers]:
    """Tabulate how many recall levels n right detections reach: levels[first[replicate] + n].

    A table, because it is exact (the comparison is COCOeval's own) and far smaller than the array it is applied to.
    """
    distinct, which = np.unique(objects, return_inverse=True)
    tables = [_levels(int(n)) for n in distinct]
    starts = np.cumsum([0, *(len(table) for table in tables)])[:-1]
    return np.concatenate(tables), starts[which]


@lru_cache(maxsize=4096)
def _levels(objects: int) -> NDArray[np.int8]:
    """Return (objects + 1,) recall levels that 0, 1, 2, … right detections reach."""
    return np.searchsorted(RECALLS, np.arange(objects + 1) / max(objects, 1), side="right").astype(np.int8)


def same_split(a: MatchRecords, b: MatchRecords) -> bool:
    """Return whether two records come from the same images, classes and objects."""
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("image_ids", "category_ids", "objects"))
