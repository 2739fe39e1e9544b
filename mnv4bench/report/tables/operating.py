"""Precision, recall and F1 at IoU 0.5, by arm and class, means over seeds.

operating.csv has them at the arm's confidence of the highest mean F1, precision_recall.csv and f1_confidence.csv the
curves. Exploratory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mnv4bench.evaluate.operating import LEVELS, Curves
from mnv4bench.report.operating import Operating
from mnv4bench.report.results import ArmResult
from mnv4bench.report.tables.columns import Column


class Line(NamedTuple):
    """One arm on one class, or on the mean over the classes."""

    arm: ArmResult
    name: str
    curves: Curves
    """Of one class."""
    best: int
    """Place in LEVELS of the arm's confidence."""

    @property
    def own(self) -> int:
        """Return the place in LEVELS at which this class alone has its highest F1."""
        return int(self.curves.f1[0].argmax())


class Place(NamedTuple):
    """A line at one of LEVELS."""

    line: Line
    level: int


def _named(line: Line) -> tuple[str, str, int, str]:
    return line.arm.arm.ablation, line.arm.arm.name, int(line.arm.is_baseline), line.name


NAMES: list[Column[Line]] = [
    Column(name, lambda line, place=place: _named(line)[place])  # type: ignore[misc]
    for place, name in enumerate(("ablation", "arm", "baseline", "class"))
]
OPERATING: list[Column[Line]] = [
    *NAMES,
    Column("confidence", lambda line: float(LEVELS[line.best])),
    Column("precision", lambda line: _number(line.curves.precision[0, line.best])),
    Column("recall", lambda line: float(line.curves.recall[0, line.best])),
    Column("F1", lambda line: float(line.curves.f1[0, line.best])),
    Column("AP50", lambda line: float(line.curves.interpolated[0].mean())),
    Column("best_confidence", lambda line: float(LEVELS[line.own])),
    Column("best_F1", lambda line: float(line.curves.f1[0, line.own])),
]
_OF_LINE: list[Column[Place]] = [
    Column(column.name, lambda place, value=column.value: value(place.line))  # type: ignore[misc]
    for column in NAMES
]
PRECISION_RECALL: list[Column[Place]] = [
    *_OF_LINE,
    Column("recall", lambda place: float(LEVELS[place.level])),
    Column("precision", lambda place: float(place.line.curves.interpolated[0, place.level])),
]
F1_CONFIDENCE: list[Column[Place]] = [
    *_OF_LINE,
    Column("confidence", lambda place: float(LEVELS[place.level])),
    Column("precision", lambda place: _number(place.line.curves.precision[0, place.level])),
    Column("recall", lambda place: float(place.line.curves.recall[0, place.level])),
    Column("F1", lambda place: float(place.line.curves.f1[0, place.level])),
]


def lines(found: Sequence[Operating]) -> Iterator[Line]:
    for known in found:
        if known.curves.best is not None:
            yield from (Line(known.arm, name, one, known.curves.best) for name, one in known.lines())


def places(found: Sequence[Operating]) -> Iterator[Place]:
    return (Place(line, level) for line in lines(found) for level in range(len(LEVELS)))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
