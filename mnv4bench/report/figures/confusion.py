"""What the arms of an ablation take for what: of each class's objects the share that is detected as each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnv4bench.report.figures.style import FAINT, WIDTH, figure, saying
from mnv4bench.report.formatting import number, wrapped
from mnv4bench.report.rendering import render
from mnv4bench.report.results import Results
from mnv4bench.report.tables.confusion import BACKGROUND
from mnv4bench.report.tables.csv import read_csv

NUMBERED, NAMED = 12, 30
"""Most classes whose cells hold numbers, and whose names stand beside them."""
HEIGHT = 3.1
"""Inches of a row of two panels."""
LETTERS = 36
"""Of a line of a panel's title, which is as wide as the panel."""
COLUMNS = ("ablation", "arm", "seeds", "confidence", "true", "detected", "count")


@dataclass
class Counted:
    """One arm: (true, detected) → count over its seeds."""

    seeds: int
    confidence: float
    counts: dict[tuple[str, str], int] = field(default_factory=dict)


def read(path: Path) -> dict[str, dict[str, Counted]]:
    """Return ablation → arm → its counts, from confusion.csv.

    Raises:
        FileError: it is missing or damaged.
    """
    found: dict[str, dict[str, Counted]] = {}
    for row in read_csv(path, COLUMNS):
        made = Counted(int(row["seeds"]), float(row["confidence"]))
        arm = found.setdefault(row["ablation"], {}).setdefault(row["arm"], made)
        arm.counts[row["true"], row["detected"]] = int(row["count"])
    return found


def shares(counted: Counted, names: tuple[str, ...], images: int) -> np.ndarray:
    """Return (names, names): percent of a class's objects; of the background detections of nothing in 100 images.

    Args:
        names: of the classes, and the background's.
    """
    counts = np.array([[counted.counts.get((true, detected), 0) for detected in names] for true in names], np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    totals[-1] = images * counted.seeds
    parts: np.ndarray = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    return 100 * parts


def confusion(results: Results, ablation: str, arms: Mapping[str, Counted]) -> Figure:
    """Return a matrix for each arm, the baseline first."""
    spec = results.plan.ablations[ablation]
    order = sorted((arm.arm.name for arm in results.ablations[ablation]), key=lambda name: name != spec.baseline)
    shown = [name for name in order if name in arms]
    if not shown:
        return saying(render("text/not_scored.j2", ablation=ablation))
    rows = ceil(len(shown) / 2)
    made = figure(WIDTH, HEIGHT * rows)
    names = (*results.data.record.classes, BACKGROUND)
    for place, name in enumerate(shown):
        axis = made.add_subplot(rows, 2, place + 1)
        _matrix(axis, shares(arms[name], names, results.data.record.val.count), names)
        mark = " (baseline)" if name == spec.baseline else ""
        title = f"{spec.title_of(name)}{mark}, confidence {number(arms[name].confidence, 2)}"
        axis.set_title(wrapped(title, LETTERS), loc="left")
        axis.set_xlabel("detected as")
        axis.set_ylabel("object")
    made.supxlabel(render("text/confusion_unit.j2"), fontsize=7)
    return made


def _matrix(axis: Axes, values: np.ndarray, names: tuple[str, ...]) -> None:
    known = np.where(np.isnan(values), 0, values)
    axis.imshow(known[:-1], cmap="Blues", vmin=0, vmax=100, extent=(-0.5, len(names) - 0.5, len(names) - 1.5, -0.5))
    bottom = (-0.5, len(names) - 0.5, len(names) - 0.5, len(names) - 1.5)
    axis.imshow(known[-1:], cmap="Oranges", vmin=0, vmax=100, extent=bottom)
    axis.set_xlim(-0.5, len(names) - 0.5)
    axis.set_ylim(len(names) - 0.5, -0.5)
    edge = len(names) - 1.5
    axis.axhline(edge, color=FAINT, linewidth=0.6)
    axis.axvline(edge, color=FAINT, linewidth=0.6)
    axis.set_xticks([])
    axis.set_yticks([])
    if len(names) <= NAMED + 1:
        size = 6 if len(names) <= NUMBERED + 1 else 4
        labels = [*names[:-1], "nothing"]
        axis.set_xticks(range(len(names)), [*names[:-1], "missed"], rotation=90, fontsize=size)
        axis.set_yticks(range(len(names)), labels, fontsize=size)
    axis.tick_params(length=0, pad=2)
    if len(names) <= NUMBERED + 1:
        for (true, detected), value in np.ndenumerate(values):
            _number(axis, true, detected, value)


def _number(axis: Axes, true: int, detected: int, value: float) -> None:
    """Print a cell's value; none where it is 0."""
    if value == 0:
        return
    text = number(value, 0 if value >= 9.95 else 1)
    axis.text(
        detected, true, text, ha="center", va="center", fontsize=5, color="white" if value > 55 else "black", zorder=3
    )
