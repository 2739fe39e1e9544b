"""The training: AP on the first validation images after each epoch, beside the trunk's."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnv4bench.report import accuracy
from mnv4bench.report import formatting as fmt
from mnv4bench.report.figures.panels import colours, crowded, grid, legend_size
from mnv4bench.report.figures.style import BASELINE, saying
from mnv4bench.report.rendering import render
from mnv4bench.report.results import ArmResult, Results, curve_of
from mnv4bench.results.curve import VALIDATED, VALIDATION

ROW, MOST = 0.09, 0.6
"""Shares of a panel's height: a row of its legend, and the largest that all rows get."""


def curves(results: Results) -> Figure:
    """Return AP over epochs, one panel per ablation: seeds thin, their mean thick, the trunks' last AP dashed;
    a sentence where nothing was trained."""
    if results.plan.published:
        return saying(render("text/no_curves.j2"))
    drawn, axes = grid(results, 2.0)
    for axis, arms in zip(axes, results.ablations.values(), strict=True):
        _curve_panel(axis, results, arms)
        axis.set_xlabel("epoch")
        axis.set_ylabel(f"AP (points), first {min(VALIDATED, results.data.record.val.count)} images")
    return drawn


def _curve_panel(axis: Axes, results: Results, arms: tuple[ArmResult, ...]) -> None:
    colour_of = colours(arms)
    for arm in arms:
        _curve(axis, results, arm, colour_of[arm.arm.name])
    baseline = next(arm for arm in arms if arm.is_baseline)
    for place, level in enumerate(_trunks(results, baseline)):
        label = "_trunk" if place else "trunks"  # one entry in the legend
        axis.axhline(level, color=BASELINE, linewidth=0.8, linestyle="--", zorder=1, label=label)
    whole_epochs(axis)
    axis.margins(y=0.1)
    size = legend_size(results)
    whole = None if crowded(results) else f"AP on all {results.data.record.val.count} images"
    rows = len(axis.get_legend_handles_labels()[1]) + (whole is not None)
    _leave_room(axis, min(ROW * rows, MOST))
    axis.legend(
        loc="lower right",
        title=whole,
        title_fontsize=size,
        alignment="left",
        fontsize=size,
        labelspacing=0.2,
        handlelength=1,
        borderaxespad=0,
    )


def whole_epochs(axis: Axes) -> None:
    """Put ticks at whole epochs alone, a single one included."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _leave_room(axis: Axes, share: float) -> None:
    """Leave a share of the panel free below the curves, without ticks."""
    low, high = axis.get_ylim()
    ticks = [tick for tick in axis.get_yticks() if low <= tick <= high]
    axis.set_ylim(high - (high - low) / (1 - share), high)
    axis.set_yticks(ticks)


def _curve(axis: Axes, results: Results, arm: ArmResult, colour: str) -> None:
    column = VALIDATION[arm.arm.read]
    known = [curve_of(results, result.run) for result in arm.done]
    seeds = [_points(curve[column]) for curve in known if curve.get(column)]
    epochs = next((curve["epoch"] for curve in known if curve.get(column)), [])
    for seed in seeds:
        axis.plot(epochs, seed, color=colour, linewidth=0.5, alpha=0.45)
    mean = [fmean(values) for values in zip(*seeds, strict=True)]
    axis.plot(epochs, mean, color=colour, linewidth=1.6, marker=".", markersize=3, label=_named(results, arm))


def _trunks(results: Results, baseline: ArmResult) -> list[float]:
    """Return the AP that each trunk of the baseline's seeds ended with, read as the baseline is."""
    column = VALIDATION[baseline.arm.read]
    starts = dict.fromkeys(results.plan.runs[result.run].start for result in baseline.done)
    found = [curve_of(results, start).get(column) for start in starts if start]
    return [_points(values)[-1] for values in found if values]


def _points(values: Iterable[float]) -> list[float]:
    return [fmt.in_points(value) for value in values]


def _named(results: Results, arm: ArmResult) -> str:
    """Name an arm's curve, with its AP where there is room, or how its runs ended."""
    if crowded(results) and arm.done:
        return arm.arm.title
    return f"{arm.arm.title}: {accuracy.mean(arm, 1)}"
