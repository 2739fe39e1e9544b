"""One panel per ablation, in rows; for figures that show each ablation by itself."""

from __future__ import annotations

from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnv4bench.report import formatting as fmt
from mnv4bench.report.figures.style import WIDTH, arm_colours, figure
from mnv4bench.report.results import ArmResult, Results

MANY, TALLEST = 8, 9.2
"""Panels that stand in two columns; inches of all rows together."""
CRAMPED = 4.5
"""Points of the type in the legends of more panels than that."""


def grid(results: Results, height: float) -> tuple[Figure, list[Axes]]:
    """Return a panel per ablation with its title; many stand in three columns, so that a page holds them.

    Args:
        height: inches of a row, less where there are many.
    """
    panels = len(results.ablations)
    columns = 3 if crowded(results) else min(2, panels)
    rows = ceil(panels / columns)
    drawn = figure(WIDTH, min(height * rows, max(height, TALLEST)))
    axes = [drawn.add_subplot(rows, columns, position + 1) for position in range(panels)]
    for axis, name in zip(axes, results.ablations, strict=True):
        title = fmt.wrapped(results.plan.ablations[name].title, 88 // columns)
        axis.set_title(title, loc="left", fontsize=8 if columns < 3 else 6.5)
        axis.tick_params(labelsize=7 if columns < 3 else 5.5)
        axis.xaxis.label.set_fontsize(7.5 if columns < 3 else 6)
        axis.yaxis.label.set_fontsize(7.5 if columns < 3 else 6)
    return drawn, axes


def crowded(results: Results) -> bool:
    return len(results.ablations) > MANY


def legend_size(results: Results) -> float | None:
    """Return the points of a legend's type; None leaves the style's own."""
    return CRAMPED if crowded(results) else None


def colours(arms: tuple[ArmResult, ...]) -> dict[str, str]:
    """Return arm → colour; the baseline is black."""
    return arm_colours([arm.arm.name for arm in arms], next(arm.arm.name for arm in arms if arm.is_baseline))
