"""The training: loss over epochs."""

from __future__ import annotations

from math import ceil
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnv4bench.report import accuracy
from mnv4bench.report.figures.panels import colours, crowded, grid, legend_size
from mnv4bench.report.results import ArmResult, Results, curve_of


def curves(results: Results) -> Figure:
    """Return training loss over epochs, one panel per ablation: seeds thin, their mean thick, distillation dotted."""
    drawn, axes = grid(results, 2.0)
    for axis, arms in zip(axes, results.ablations.values(), strict=True):
        _curve_panel(axis, results, arms)
        axis.set_xlabel("epoch")
        axis.set_ylabel("training loss")
    return drawn


def _curve_panel(axis: Axes, results: Results, arms: tuple[ArmResult, ...]) -> None:
    colour_of = colours(arms)
    # Two readings of the same runs have one curve between them.
    by_runs: dict[tuple[str, ...], list[ArmResult]] = {}
    for arm in arms:
        by_runs.setdefault(tuple(arm.arm.runs.values()), []).append(arm)
    for group in by_runs.values():
        _curve(axis, results, group, colour_of[group[0].arm.name])
    losses = [loss for arm in arms for result in arm.done for loss in curve_of(results, result.run)["loss"]]
    # A diverging loss must not squeeze the others flat.
    highest = max(losses, default=None)  # published weights have none
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Room above the curves for the legend's rows.
    lines = [label.count("\n") + 1 for label in axis.get_legend_handles_labels()[1]]
    half = ceil(len(lines) / 2)
    rows = max(sum(lines[:half]), sum(lines[half:]))
    axis.set_ylim(0, highest and (1.05 + 0.13 * rows) * highest)
    axis.legend(
        loc="upper right",
        ncols=2,
        fontsize=legend_size(results),
        labelspacing=0.2,
        handlelength=1,
        borderaxespad=0,
    )


def _curve(axis: Axes, results: Results, group: list[ArmResult], colour: str) -> None:
    whole = [curve_of(results, result.run) for result in group[0].done]
    broken = [result.run for result in group[0].seeds if result.state != "done"]
    # A run that failed before its first epoch left no curve.
    parts = [curve_of(results, run) for run in broken if (results.folder / "runs" / run / "curve.csv").exists()]
    for seed in [*whole, *parts]:
        axis.plot(seed["epoch"], seed["loss"], color=colour, linewidth=0.5, alpha=0.45)
    label = "\n".join(_named(results, arm) for arm in group)
    if not whole:
        axis.plot([], [], color=colour, label=label)
        return
    axis.plot(whole[0]["epoch"], _mean(whole, "loss"), color=colour, linewidth=1.6, label=label)
    if any(value > 0 for seed in whole for value in seed["distill_loss"]):
        mean = _mean(whole, "distill_loss")
        # One entry for all arms: the colour says whose it is.
        first = "distillation term" not in axis.get_legend_handles_labels()[1]
        style: dict[str, Any] = {"label": "distillation term"} if first else {}
        axis.plot(whole[0]["epoch"], mean, color=colour, linewidth=1.2, linestyle=":", **style)


def _named(results: Results, arm: ArmResult) -> str:
    """Name an arm's curve, with its AP where there is room, or how its runs ended."""
    if crowded(results) and arm.done:
        return arm.arm.name
    return f"{arm.arm.name}: {'AP ' * bool(arm.done)}{accuracy.mean(arm, 3)}"


def _mean(seeds: list[dict[str, list[float]]], column: str) -> list[float]:
    return [fmean(values) for values in zip(*(seed[column] for seed in seeds), strict=True)]
