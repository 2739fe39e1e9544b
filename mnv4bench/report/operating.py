"""Precision, recall and F1 of every arm: the mean of its seeds, and the confidence at which it is at its best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mnv4bench.evaluate.operating import LEVELS, Curves, curves, mean
from mnv4bench.report.results import ArmResult, Results, distinct
from mnv4bench.results import matches

ALL = "(all)"
"""Stands for the mean over the classes that have objects; no class's name, as those of files may be any word."""


@dataclass(frozen=True, eq=False)
class Operating:
    """One arm."""

    arm: ArmResult
    classes: tuple[str, ...]
    """In the order of the curves."""
    curves: Curves
    """Mean of the seeds."""

    @property
    def confidence(self) -> float | None:
        """Return the confidence of the highest mean F1; None where there is no object."""
        return None if self.curves.best is None else float(LEVELS[self.curves.best])

    def lines(self) -> Iterator[tuple[str, Curves]]:
        """Yield the mean over the classes, and each class that has objects, as curves of one class."""
        known = [place for place in range(len(self.classes)) if not np.isnan(self.curves.f1[place]).any()]
        if known:
            # The mean precision is that of the classes that detect anything.
            yield ALL, mean([_of(self.curves, place) for place in known])
        for place in known:
            yield self.classes[place], _of(self.curves, place)


def operating(results: Results) -> list[Operating]:
    """Return every arm that has a run that is done; arms that are the same runs share their curves.

    Raises:
        Mnv4benchError: match records are missing or damaged.
    """
    names = dict(zip(results.data.record.category_ids, results.data.record.classes, strict=True))
    found = {}
    for group in distinct(results.arms):
        seeds = [_records(results, seed.run, group[0].arm.read) for seed in group[0].done]
        if seeds:
            classes = tuple(names[category] for category in seeds[0].category_ids.tolist())
            found[group[0].key] = (classes, mean([curves(records) for records in seeds]))
    return [Operating(arm, *found[arm.key]) for arm in results.arms if arm.key in found]


def _records(results: Results, run: str, read: str) -> matches.MatchRecords:
    return matches.load(results.folder / "runs" / run / "matches.npz", [read])[read]


def _of(whole: Curves, place: int) -> Curves:
    part = slice(place, place + 1)
    return Curves(whole.interpolated[part], whole.precision[part], whole.recall[part], whole.f1[part])
