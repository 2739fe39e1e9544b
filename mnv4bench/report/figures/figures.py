"""The figures. Each is drawn from the collected results alone, so recolouring a line never retrains anything."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnv4bench.report import formatting as fmt
from mnv4bench.report import words
from mnv4bench.report.figures.forest import forest
from mnv4bench.report.figures.pareto import pareto
from mnv4bench.report.figures.parts import cost
from mnv4bench.report.figures.sheet import sheet
from mnv4bench.report.figures.style import FAINT, WIDTH, arm_colours, figure, look, save
from mnv4bench.report.results import ArmResult, Results, collect, curve_of
from mnv4bench.spec.plan import Plan

MANY, TALLEST = 8, 9.2
"""Panels that stand in two columns; inches of all rows together."""
CRAMPED = 4.5
"""Points of the type in the legends of more panels than that."""
SIZES = {"APs": "small", "APm": "medium", "APl": "large"}


def write_figures(plan: Plan, results: Path, dataset: Path | None = None, pictures: bool = True) -> None:
    """Write figures/{effects,cost,pareto,curves,slices,detections}.{png,pdf} under `results`.

    Args:
        pictures: also draw what shows images of the data set; False where they are not there.

    Raises:
        Mnv4benchError: a result file is missing or wrong.
    """
    found = collect(plan, results, dataset)
    folder = Path(results) / "figures"
    with look():
        for name, draw in DRAWN.items():
            if pictures or name not in PICTURES:
                save(draw(found), folder, name)


def _grid(results: Results, height: float) -> tuple[Figure, list[Axes]]:
    """Return a panel per ablation with its title; many stand in three columns, so that a page holds them.

    Args:
        height: inches of a row, less where there are many.
    """
    panels = len(results.ablations)
    columns = 3 if _crowded(results) else min(2, panels)
    rows = ceil(panels / columns)
    made = figure(WIDTH, min(height * rows, max(height, TALLEST)))
    axes = [made.add_subplot(rows, columns, position + 1) for position in range(panels)]
    for axis, name in zip(axes, results.ablations, strict=True):
        title = fmt.wrapped(results.plan.ablations[name].title, 88 // columns)
        axis.set_title(title, loc="left", fontsize=8 if columns < 3 else 6.5)
        axis.tick_params(labelsize=7 if columns < 3 else 5.5)
        axis.xaxis.label.set_fontsize(7.5 if columns < 3 else 6)
        axis.yaxis.label.set_fontsize(7.5 if columns < 3 else 6)
    return made, axes


def _crowded(results: Results) -> bool:
    return len(results.ablations) > MANY


def curves(results: Results) -> Figure:
    """Return training loss over epochs, one panel per ablation: seeds thin, their mean thick, distillation dotted."""
    made, axes = _grid(results, 2.0)
    for axis, arms in zip(axes, results.ablations.values(), strict=True):
        _curve_panel(axis, results, arms)
        axis.set_xlabel("epoch")
        axis.set_ylabel("training loss")
    return made


def _curve_panel(axis: Axes, results: Results, arms: tuple[ArmResult, ...]) -> None:
    baseline = next(arm.arm.name for arm in arms if arm.is_baseline)
    colours = arm_colours([arm.arm.name for arm in arms], baseline)
    # Two readings of the same runs have one curve between them.
    by_runs: dict[tuple[str, ...], list[ArmResult]] = {}
    for arm in arms:
        by_runs.setdefault(tuple(arm.arm.runs.values()), []).append(arm)
    for group in by_runs.values():
        _curve(axis, results, group, colours[group[0].arm.name])
    done = [curve_of(results, result.run)["loss"] for arm in arms for result in arm.done]
    # A diverging loss must not squeeze the others flat.
    highest = max(max(loss) for loss in done) if done else None
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Room above the curves for the legend's rows.
    lines = [label.count("\n") + 1 for label in axis.get_legend_handles_labels()[1]]
    half = ceil(len(lines) / 2)
    rows = max(sum(lines[:half]), sum(lines[half:]))
    axis.set_ylim(0, highest and (1.05 + 0.13 * rows) * highest)
    axis.legend(
        loc="upper right",
        ncols=2,
        fontsize=CRAMPED if _crowded(results) else None,
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
    if _crowded(results) and arm.done:
        return arm.arm.name
    return f"{arm.arm.name}: {'AP ' * bool(arm.done)}{words.mean_cell(arm, 3)}"


def _mean(seeds: list[dict[str, list[float]]], column: str) -> list[float]:
    return [fmean(values) for values in zip(*(seed[column] for seed in seeds), strict=True)]


def slices(results: Results) -> Figure:
    """Return AP per slice, one panel per ablation, seeds as dots; per object size where the data has no slices."""
    made, axes = _grid(results, 1.9)
    for axis, arms in zip(axes, results.ablations.values(), strict=True):
        _slice_panel(axis, results, arms)
        axis.set_ylabel("AP")
    return made


def _slice_panel(axis: Axes, results: Results, arms: tuple[ArmResult, ...]) -> None:
    parts = list(results.data.slices) or list(SIZES)
    baseline = next(arm.arm.name for arm in arms if arm.is_baseline)
    colours = arm_colours([arm.arm.name for arm in arms], baseline)
    width = 0.8 / len(arms)
    for position, arm in enumerate(arms):
        for place, part in enumerate(parts):
            values = list(_part_scores(arm, part).values())
            x = place + (position - (len(arms) - 1) / 2) * width
            if not values:
                axis.annotate("–", (x, 0), ha="center", va="bottom", color=colours[arm.arm.name])
                continue
            colour = colours[arm.arm.name]
            axis.bar(x, fmean(values), width * 0.9, color=colour, alpha=0.55, linewidth=0)
            axis.vlines(x, min(values), max(values), color=colour, linewidth=0.8)
            axis.plot([x] * len(values), values, ".", color=colour, markersize=2.5)
        axis.bar(0, 0, 0, color=colours[arm.arm.name], alpha=0.55, label=arm.arm.name)
    axis.set_xticks(range(len(parts)), [SIZES.get(part, part) for part in parts])
    axis.set_xlim(-0.6, len(parts) - 0.4)
    columns = min(3, len(arms))
    # Room above the bars for each of the legend's rows.
    axis.set_ylim(0, axis.get_ylim()[1] * (1.05 + 0.17 * ceil(len(arms) / columns)))
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.5)
    axis.set_axisbelow(True)
    axis.legend(
        loc="upper left",
        ncols=columns,
        fontsize=CRAMPED if _crowded(results) else None,
        handlelength=1,
        columnspacing=1,
        borderaxespad=0,
        labelspacing=0.2,
    )


def _part_scores(arm: ArmResult, part: str) -> dict[int, float]:
    return arm.scores(part) if part in SIZES else arm.scores("AP", part)


PICTURES = ("detections",)
DRAWN = {"effects": forest, "cost": cost, "pareto": pareto, "curves": curves, "slices": slices, "detections": sheet}
