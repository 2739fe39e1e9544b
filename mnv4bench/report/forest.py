"""The effects: every comparison's difference in AP with its interval, against what was declared to matter."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnv4bench.report import verdict_words as say
from mnv4bench.report import words
from mnv4bench.report.collect import Results
from mnv4bench.report.compare import Difference
from mnv4bench.report.style import BASELINE, COLOURS, FAINT, WIDTH, figure

BAND = "#DDDDDD"
ROW = 0.24
"""Inches per comparison, less where a page could not hold them all."""
TALLEST = 8.5


@dataclass(frozen=True)
class Line:
    label: str
    difference: Difference


def lines(results: Results) -> list[Line]:
    """Return one line per comparison, in the preset's order."""
    found = [arm.difference for arm in results.arms if arm.difference is not None]
    return [Line(f"{d.ablation}: {d.arm} − {d.baseline}", d) for d in found]


def forest(results: Results) -> Figure:
    """Return differences with intervals, seeds as ticks, a grey band of ±smallest_effect, the verdict at the right."""
    drawn = lines(results)
    made = figure(WIDTH, 0.6 + min(ROW * len(drawn), TALLEST))
    axis = made.add_subplot(1, 1, 1)
    for position, line in enumerate(drawn):
        d = line.difference
        axis.fill_betweenx(
            [position - 0.5, position + 0.5], -d.smallest_effect, d.smallest_effect, color=BAND, linewidth=0, zorder=0
        )
        _interval(axis, position, d)
        axis.annotate(
            _word(d),
            (1.02, position),
            xycoords=axis.get_yaxis_transform(),
            va="center",
            fontsize=7,
            fontweight="bold" if say.strong(d) else "normal",
            annotation_clip=False,
        )
    axis.axvline(0, color=BASELINE, linewidth=0.6, zorder=1)
    axis.set_yticks(range(len(drawn)), [line.label for line in drawn])
    axis.set_ylim(len(drawn) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    level = words.percent(results.comparison.level)
    axis.set_xlabel(f"difference in AP, {level} interval (ticks: seeds; grey: ± smallest effect declared)")
    return made


def _interval(axis: Axes, position: int, d: Difference) -> None:
    if d.mean is None:
        return
    colour = COLOURS[0] if say.strong(d) else BASELINE
    if d.low is not None and d.high is not None:
        axis.plot([d.low, d.high], [position, position], color=colour, linewidth=1.4, zorder=3)
    for value in d.seeds.values():
        axis.plot([value, value], [position + 0.14, position + 0.34], color=FAINT, linewidth=0.7, zorder=2)
    # Filled only with a verdict that is set in bold: readable without colour.
    axis.plot(
        d.mean,
        position,
        "o",
        color=colour,
        markerfacecolor=colour if say.strong(d) else "white",
        markersize=4.5,
        zorder=4,
    )


def _word(d: Difference) -> str:
    if d.mean is None:
        return "no seed in both arms"
    if d.verdict == "inconclusive" and d.mde is not None:
        return f"inconclusive (MDE {words.significant(d.mde, 2)})"
    return say.verdict(d)
