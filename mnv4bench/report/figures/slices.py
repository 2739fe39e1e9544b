"""AP per slice of the data, or per object size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from math import ceil
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnv4bench.report import formatting as fmt
from mnv4bench.report.figures.panels import colours, grid, legend_size
from mnv4bench.report.figures.style import COLOURS, FAINT
from mnv4bench.report.results import ArmResult, Results

LETTERS = 40
"""Of a row of the legend, which is as wide as a panel."""
ROW_TYPE = 5
"""Points of the type of names of arms in rows."""
SIZES = {"APs": "small", "APm": "medium", "APl": "large"}


def slices(results: Results) -> Figure:
    """Return AP per slice, one panel per ablation, seeds as dots; per object size where the data has no slices.

    More arms than there are colours stand in rows, which name them.
    """
    results = results.at_hand
    parts = list(results.data.slices) or list(SIZES)
    drawn, axes = grid(results, 1.9)
    for axis, arms in zip(axes, results.ablations.values(), strict=True):
        draw = _bars if len(arms) <= len(COLOURS) + 1 else _rows
        draw(axis, results, arms, parts)
    return drawn


def _rows(axis: Axes, results: Results, arms: Sequence[ArmResult], parts: Sequence[str]) -> None:
    for part, colour in zip(parts, cycle(COLOURS), strict=False):
        known = [(y, fmean(values.values())) for y, arm in enumerate(arms) if (values := _part_scores(arm, part))]
        axis.plot([ap for _, ap in known], [y for y, _ in known], "o", color=colour, markersize=3, label=_named(part))
    axis.set_yticks(range(len(arms)), [arm.arm.title for arm in arms], fontsize=ROW_TYPE)
    axis.set_ylim(len(arms) + 1, -0.5)  # two rows for the legend
    axis.set_xlabel("AP (points)")
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="both", color=FAINT, linewidth=0.3, alpha=0.5)
    axis.set_axisbelow(True)
    axis.legend(
        loc="lower center",
        ncols=len(parts),
        fontsize=legend_size(results),
        handletextpad=0.2,
        columnspacing=1,
        borderaxespad=0,
    )


def _bars(axis: Axes, results: Results, arms: Sequence[ArmResult], parts: Sequence[str]) -> None:
    colour_of = colours(tuple(arms))
    width = 0.8 / len(arms)
    for position, arm in enumerate(arms):
        for place, part in enumerate(parts):
            values = list(_part_scores(arm, part).values())
            x = place + (position - (len(arms) - 1) / 2) * width
            if not values:
                axis.annotate("–", (x, 0), ha="center", va="bottom", color=colour_of[arm.arm.name])
                continue
            colour = colour_of[arm.arm.name]
            axis.bar(x, fmean(values), width * 0.9, color=colour, alpha=0.55, linewidth=0)
            axis.vlines(x, min(values), max(values), color=colour, linewidth=0.8)
            axis.plot([x] * len(values), values, ".", color=colour, markersize=2.5)
        axis.bar(0, 0, 0, color=colour_of[arm.arm.name], alpha=0.55, label=arm.arm.title)
    axis.set_ylabel("AP (points)")
    axis.set_xticks(range(len(parts)), [_named(part) for part in parts])
    axis.set_xlim(-0.6, len(parts) - 0.4)
    columns = legend_columns([arm.arm.title for arm in arms])
    # Room above the bars for each of the legend's rows.
    top = axis.get_ylim()[1] * (1.05 + 0.17 * ceil(len(arms) / columns))
    axis.set_ylim(0, top)
    axis.set_yticks([tick for tick in axis.get_yticks() if tick <= min(top, 100)])
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.5)
    axis.set_axisbelow(True)
    axis.legend(
        loc="upper left",
        ncols=columns,
        fontsize=legend_size(results),
        handlelength=1,
        columnspacing=1,
        borderaxespad=0,
        labelspacing=0.2,
    )


def legend_columns(titles: Sequence[str]) -> int:
    """Return how many titles stand in a row of the legend: three at most, and no more than fit."""
    longest = max(map(len, titles))
    return next(columns for columns in (3, 2, 1) if columns * longest <= LETTERS or columns == 1)


def _named(part: str) -> str:
    return SIZES.get(part, part)


def _part_scores(arm: ArmResult, part: str) -> dict[int, float]:
    """Return seed → AP in points."""
    scores = arm.scores(part) if part in SIZES else arm.scores("AP", part)
    return {seed: fmt.in_points(score) for seed, score in scores.items()}
