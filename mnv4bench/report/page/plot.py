"""Accuracy against latency as points on a plane: where each stands, its axes' ticks, and the names that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from mnv4bench.report import choices, timing
from mnv4bench.report import formatting as fmt
from mnv4bench.report.choices import Choice
from mnv4bench.report.results import Results

WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 14, 40
"""Units of the drawing: its size, and the margins around the plane."""
LETTER, LINE = 6.0, 14.0
"""Size of a name: of each of its letters across, and from line to line."""


@dataclass(frozen=True)
class Scale:
    """From values to places along one axis."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Return the place and the text of each tick."""
        values = [float(v) for v in MaxNLocator(nbins=5).tick_values(self.low, self.high) if self.low <= v <= self.high]
        return [(self.place(value), fmt.plain(value)) for value in values]


@dataclass(frozen=True)
class Point:
    label: str
    arms: str
    """Labels of the arms, with a blank between: what links it to the rows of the table."""
    ablation: int
    """In the preset's order: its colour."""
    baseline: bool
    x: float
    y: float
    across: tuple[float, float]
    """Ends of the bar of the paired ratio's interval."""
    along: tuple[float, float]
    """Places of the lowest and the highest seed."""
    ms: str
    ap: str
    named: bool
    """Whether its name is printed beside it."""
    left: bool
    """Whether the name stands on its left."""


@dataclass(frozen=True)
class Panel:
    runtime: str
    points: tuple[Point, ...]
    front: tuple[tuple[float, float], ...]
    x: Scale
    y: Scale


def panels(results: Results) -> list[Panel]:
    """Return a panel per runtime in which something was scored and timed."""
    found = {name: choices.choices(results, name) for name in (*results.timed, *results.timed_int8)}
    order = list(results.ablations)
    return [_panel(name, known, order) for name, known in found.items() if known]


def _panel(runtime: str, found: Sequence[Choice], order: Sequence[str]) -> Panel:
    x = _scale([end for choice in found for end in choice.reach], LEFT, WIDTH - RIGHT)
    y = _scale([fmt.in_points(ap) for choice in found for ap in choice.ap], HEIGHT - BOTTOM, TOP)
    edge = choices.front(found)
    places = {choice.label: (x.place(choice.row.p50_ms), y.place(fmt.in_points(choice.mean))) for choice in found}
    named = _named([choice.label for choice in edge], places)
    return Panel(
        runtime=runtime,
        points=tuple(_point(choice, x, y, order, choice.label in named) for choice in found),
        front=tuple(places[choice.label] for choice in edge),
        x=x,
        y=y,
    )


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(low - margin, high + margin, start, end)


def _point(choice: Choice, x: Scale, y: Scale, order: Sequence[str], named: bool) -> Point:
    low, _, high = choice.reach
    place = x.place(choice.row.p50_ms)
    return Point(
        label=choice.label,
        arms=" ".join(arm.arm.label for arm in choice.arms),
        ablation=order.index(choice.arms[0].arm.ablation),
        baseline=any(arm.is_baseline for arm in choice.arms),
        x=place,
        y=y.place(fmt.in_points(choice.mean)),
        across=(x.place(low), x.place(high)),
        along=(y.place(fmt.in_points(min(choice.ap))), y.place(fmt.in_points(max(choice.ap)))),
        ms=timing.milliseconds(choice.row),
        ap=fmt.points(choice.mean, 1),
        named=named,
        left=place > WIDTH / 2,
    )


def _named(labels: Sequence[str], places: dict[str, tuple[float, float]]) -> set[str]:
    """Return those of the labels that can be printed without one touching another."""
    boxes: list[tuple[float, float, float]] = []
    named = set()
    for label in reversed(labels):
        x, y = places[label]
        width = LETTER * len(label)
        start = x - width if x > WIDTH / 2 else x
        if not any(abs(y - other) < LINE and start < end and begin < start + width for begin, end, other in boxes):
            boxes.append((start, start + width, y))
            named.add(label)
    return named
