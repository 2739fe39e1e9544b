"""Where parameters and FLOPs sit: each network's cost as deployed, stacked by its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mnv4bench.report import formatting as fmt
from mnv4bench.report.figures.style import COLOURS, FAINT, WIDTH, figure
from mnv4bench.report.results import ArmResult, Results, group_label, grouped
from mnv4bench.results.cost import CostRow

NECK, DOWN = "///////", "-------"
FILLS: dict[str, tuple[str, str]] = {
    "backbone": ("#444444", ""),
    "sppf": (COLOURS[4], ""),
    "attention": (COLOURS[1], ""),
    "p4_mid": (COLOURS[5], ""),
    "p3_out": (COLOURS[5], NECK),
    "p4_down": (COLOURS[2], DOWN),
    "p4_out": (COLOURS[0], NECK),
    "p5_down": (COLOURS[2], ""),
    "p5_out": (COLOURS[0], ""),
    "neck": (COLOURS[5], DOWN),
    "head": (COLOURS[3], ""),
}
"""Part → colour and hatch, in the bars' order, which is that of computation. The neck's blocks are blue, its
down-samplings green; neighbours differ in lightness or hatch."""
WHOLE = "#CCCCCC"
"""Of networks whose parts were not counted."""
BAR, EDGES, TALLEST = 0.155, 0.95, 9.0
"""Inches: a network's row, everything else, and what a page can hold."""


def cost(results: Results) -> Figure:
    """Return parameters and FLOPs by part, a bar per network; arms that cost the same in every part share one."""
    groups = networks(results.arms)
    made = figure(WIDTH, min(EDGES + BAR * max(3, len(groups)), TALLEST))
    made.get_layout_engine().set(rect=(0.015, 0, 0.97, 1))  # type: ignore[union-attr, call-arg]
    left, right = made.subplots(1, 2, sharey=True)
    rows = [row for group in groups if (row := group[0].cost) is not None]
    for axis, field, scale, label in (
        (left, "params", 1e6, "parameters, millions"),
        (right, "flops", 1e9, f"GFLOPs at {results.cost.imgsz} × {results.cost.imgsz} pixels"),
    ):
        _bars(axis, rows, field, scale)
        axis.set_xlabel(label)
    left.set_yticks(range(len(groups)), [group_label(group) for group in groups], fontsize=6)
    left.set_ylim(len(groups) - 0.4, -0.6)
    handles: list[Any] = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0, label=name)
        for name, (colour, hatch) in FILLS.items()
        if any(name in row.parts for row in rows)
    ]
    if any(not row.parts for row in rows):
        handles.append(Patch(facecolor=WHOLE, label="whole network"))
    made.legend(handles=handles, loc="outside upper center", ncols=6, handlelength=1.6, columnspacing=1)
    return made


def networks(arms: Sequence[ArmResult]) -> list[list[ArmResult]]:
    """Group the counted arms by the cost of what they deploy, in order of first appearance."""
    counted = [(arm.cost, arm) for arm in arms if arm.cost is not None]
    groups = grouped(counted, lambda pair: pair[0].model_dump_json(exclude={"train_params"}))
    return [[arm for _, arm in pairs] for pairs in groups.values()]


def _bars(axis: Axes, rows: Sequence[CostRow], field: str, scale: float) -> None:
    for place, row in enumerate(rows):
        start = 0.0
        for name in (name for name in FILLS if name in row.parts):
            colour, hatch = FILLS[name]
            width = getattr(row.parts[name], field) / scale
            axis.barh(place, width, 0.74, left=start, color=colour, hatch=hatch, edgecolor="white", linewidth=0.2)
            start += width
        total = getattr(row, field) / scale
        if not row.parts:
            axis.barh(place, total, 0.74, color=WHOLE)
        axis.annotate(
            fmt.significant(total),
            (total, place),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontsize=5.5,
        )
    axis.margins(x=0.12)
    axis.set_xlim(left=0)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_color(FAINT)
