"""The effects: every comparison's difference in AP with its interval, and what the source prints of the same part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mnv4bench.ledger.cited import changes
from mnv4bench.report import accuracy
from mnv4bench.report import formatting as fmt
from mnv4bench.report.figures.style import BASELINE, COLOURS, FAINT, WIDTH, figure
from mnv4bench.report.results import Results
from mnv4bench.results.comparison import Difference
from mnv4bench.spec.ablation import AblationSpec, Quantity

BAND = "#DDDDDD"
PUBLISHED: dict[Quantity, tuple[str, str, str]] = {
    "AP": ("D", COLOURS[1], "published, AP"),
    "top1": ("^", COLOURS[3], "published, ImageNet top-1"),
}
"""Quantity → marker, colour, and what the legend says; told apart without colour."""
ROW, HEAD, FOOT = 0.2, 0.3, 0.62
"""Inches: a comparison, a panel's title and scale, legend and axis label."""
FEW = 14
"""Up to so many comparisons stand in one column, on one scale."""


@dataclass(frozen=True)
class Line:
    label: str
    difference: Difference
    published: dict[Quantity, float]
    """What the source prints of the same difference, in points."""


@dataclass(frozen=True)
class Panel:
    """One ablation."""

    title: str
    lines: tuple[Line, ...]


def panels(results: Results) -> list[Panel]:
    """Return one panel per ablation in the preset's order, one line per comparison; one for all where there is none."""
    drawn = []
    for name, arms in results.ablations.items():
        spec = results.plan.ablations[name]
        lines = tuple(_line(spec, arm.difference) for arm in arms if arm.difference is not None)
        if len(lines) > 1 and all(line.difference.mean is None for line in lines):
            lines = (replace(lines[0], label=f"all {fmt.count(len(lines), 'arm')}", published={}),)
        if lines:
            drawn.append(Panel(f"{spec.title} (to {spec.title_of(spec.baseline)})", lines))
    return drawn


def _line(spec: AblationSpec, d: Difference) -> Line:
    printed = changes(spec, d.arm)
    return Line(spec.title_of(d.arm), d, {name: printed[name].value for name in PUBLISHED if name in printed})


def columns(drawn: Sequence[Panel]) -> list[list[Panel]]:
    """Return the panels in one column, or in two of about the same height where there are many lines."""
    if sum(len(panel.lines) for panel in drawn) <= FEW or len(drawn) == 1:
        return [list(drawn)]
    heights = [_height(panel) for panel in drawn]
    cut = min(range(1, len(drawn)), key=lambda n: max(sum(heights[:n]), sum(heights[n:])))
    return [list(drawn[:cut]), list(drawn[cut:])]


def _height(panel: Panel) -> float:
    return HEAD + ROW * len(panel.lines)


def effects(results: Results) -> Figure:
    """Return differences with intervals, a panel per ablation, published differences as open markers beside them.

    Seeds are ticks, a grey band is ±smallest_effect, the verdict stands at the right. Many ablations stand in two
    columns, each panel on a scale of its own, because their effects differ by a factor of ten and more.
    """
    drawn = columns(panels(results))
    tallest = max((sum(map(_height, column)) for column in drawn), default=ROW)
    made = figure(WIDTH, tallest + FOOT)
    made.get_layout_engine().set(rect=(0, 0, 0.985, 1))  # type: ignore[union-attr, call-arg]
    outer = GridSpec(1, len(drawn), figure=made)
    axes: list[Axes] = []
    for place, column in enumerate(drawn):
        _column(made, outer, place, column, axes, padding=tallest - sum(map(_height, column)))
    if len(drawn) == 1:
        _one_scale(axes)
    level = fmt.percent(results.comparison.level)
    made.supxlabel(f"difference in AP to the baseline in brackets, points, {level} interval", fontsize=7.5)
    _legend(made, [line for column in drawn for panel in column for line in panel.lines])
    return made


def _column(
    made: Figure, outer: GridSpec, place: int, column: Sequence[Panel], axes: list[Axes], padding: float
) -> None:
    heights = [len(panel.lines) * ROW for panel in column]
    rows = GridSpecFromSubplotSpec(
        len(column) + 1, 1, subplot_spec=outer[0, place], height_ratios=[*heights, padding + 0.001]
    )
    for position, panel in enumerate(column):
        axes.append(made.add_subplot(rows[position, 0]))
        _panel(axes[-1], panel)


def _panel(axis: Axes, panel: Panel) -> None:
    axis.set_title(panel.title, loc="left", fontsize=7, fontweight="bold", pad=2)
    for position, line in enumerate(panel.lines):
        d = line.difference
        matters = fmt.in_points(d.smallest_effect)
        axis.fill_betweenx([position - 0.5, position + 0.5], -matters, matters, color=BAND, linewidth=0, zorder=0)
        _interval(axis, position, d)
        for quantity, value in line.published.items():
            marker, colour, _ = PUBLISHED[quantity]
            axis.plot(value, position + 0.2, marker, color=colour, markerfacecolor="none", markersize=3.8, zorder=5)
        axis.annotate(
            _word(d),
            (1.02, position),
            xycoords=axis.get_yaxis_transform(),
            va="center",
            fontsize=6,
            fontweight="bold" if accuracy.strong(d) else "normal",
            annotation_clip=False,
        )
    axis.axvline(0, color=BASELINE, linewidth=0.6, zorder=1)
    axis.set_yticks(range(len(panel.lines)), [line.label for line in panel.lines])
    axis.set_ylim(len(panel.lines) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0, labelsize=6.5)
    axis.tick_params(axis="x", length=2, labelsize=6, pad=1)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axis.spines["left"].set_visible(False)


def _one_scale(axes: Sequence[Axes]) -> None:
    """Give all panels one scale, and print it under the last."""
    low = min((axis.get_xlim()[0] for axis in axes), default=0)
    high = max((axis.get_xlim()[1] for axis in axes), default=1)
    for axis in axes:
        axis.set_xlim(low, high)
        if axis is not axes[-1]:
            axis.tick_params(axis="x", labelbottom=False)


def _interval(axis: Axes, position: int, d: Difference) -> None:
    if d.mean is None:
        return
    colour = COLOURS[0] if accuracy.strong(d) else BASELINE
    if d.low is not None and d.high is not None:
        axis.plot([*map(fmt.in_points, (d.low, d.high))], [position, position], color=colour, linewidth=1.4, zorder=3)
    for value in () if d.given_weights else map(fmt.in_points, d.seeds.values()):
        axis.plot([value, value], [position - 0.34, position - 0.14], color=FAINT, linewidth=0.7, zorder=2)
    # Filled only with a verdict that is set in bold: readable without colour.
    face = colour if accuracy.strong(d) else "white"
    axis.plot(fmt.in_points(d.mean), position, "o", color=colour, markerfacecolor=face, markersize=4, zorder=4)


def _word(d: Difference) -> str:
    if d.mean is None:
        return "not both scored" if d.given_weights else "no seed in both arms"
    if d.verdict == "inconclusive" and d.mde is not None:
        return f"inconclusive\n(MDE {fmt.significant(fmt.in_points(d.mde), 2)})"
    return accuracy.verdict(d)


def _legend(made: Figure, lines: Sequence[Line]) -> None:
    """Explain the markers that were drawn."""
    handles = [
        Line2D([], [], color=BASELINE, marker="o", markerfacecolor="white", markersize=4, label="measured"),
        Line2D([], [], color=BAND, linewidth=5, label="± smallest effect declared"),
    ]
    if not all(line.difference.given_weights for line in lines):
        handles.insert(1, Line2D([], [], color=FAINT, marker="|", linestyle="none", label="a seed"))
    for quantity, (marker, colour, label) in PUBLISHED.items():
        if any(quantity in line.published for line in lines):
            handles.append(
                Line2D([], [], color=colour, marker=marker, markerfacecolor="none", linestyle="none", label=label)
            )
    made.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=6, columnspacing=1)
