"""Accuracy against latency: which arms nothing else beats on both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnv4bench.report import formatting as fmt
from mnv4bench.report import text
from mnv4bench.report.figures.style import BASELINE, COLOURS, WIDTH, figure
from mnv4bench.report.rendering import render
from mnv4bench.report.results import ArmResult, Results, distinct, group_label
from mnv4bench.spec.latency import INT8
from mnv4bench.spec.model import Read

FRONT = "#666666"
READING_LINES: dict[Read, str] = {"nms": ":", "nms_free": "-"}
"""How the fronts of a published network's two readings are drawn, beside the front of all."""
LOWEST, TALLEST = 2.1, 3.0
"""Inches of a panel, so that three fit a page."""
LINE = 0.145
"""Inches of a line of the key."""
NAME = 0.022
"""Share of a panel's width that an upright name takes."""


@dataclass(frozen=True)
class Point:
    """Milliseconds, and AP in points, each with the ends of its bar."""

    number: int
    """In every panel, and in the key that names it."""
    label: str
    colour: str
    baseline: bool
    peer: bool
    published: Read | None
    """How a published network is read; None for a network that was trained."""
    ms: tuple[float, float, float]
    """Low, middle, high: the median, and as far off on either side as the paired ratio's interval is."""
    ap: tuple[float, float, float]
    """Lowest seed, mean, highest seed."""


def pareto(results: Results) -> Figure:
    """Return AP over end-to-end latency, one panel per runtime, the front drawn, and a key to the points' numbers."""
    runtimes = results.timed or results.runtimes
    drawn = {runtime: points(results, runtime) for runtime in runtimes}
    key = {p.number: p for panel in drawn.values() for p in panel}
    if one_network(drawn.values()):
        return _one_network({runtime: panel[0] for runtime, panel in drawn.items() if panel})
    height = min(max(LOWEST, LINE * len(key) / len(runtimes)), TALLEST)
    made = figure(WIDTH, height * len(runtimes))
    grid = made.add_gridspec(len(runtimes), 2, width_ratios=(2, 1))
    for position, runtime in enumerate(runtimes):
        axis = made.add_subplot(grid[position, 0])
        busy = "" if results.latency.comparable else " (the machine was busy: not comparable)"
        axis.set_title(f"{runtime}{busy}", loc="left")
        axis.set_xlabel("end-to-end latency, ms per image")
        axis.set_ylabel("AP (points)")
        if drawn[runtime]:
            _panel(axis, drawn[runtime])
            _sizes(axis, untrained(results, runtime))
        else:
            why = text.absences(results.latency).get(runtime, "no arm was both scored and timed")
            axis.text(0.5, 0.5, fmt.wrapped(why, 60), ha="center", va="center", transform=axis.transAxes)
    _key(made.add_subplot(grid[:, 1]), [key[number] for number in sorted(key)], height * len(runtimes))
    return made


def one_network(drawn: Iterable[Sequence[Point]]) -> bool:
    """Return whether several arms take the same time in every runtime, because they deploy the same network."""
    panels = [panel for panel in drawn if panel]
    return any(len(panel) > 1 for panel in panels) and all(len({p.ms[1] for p in panel}) == 1 for panel in panels)


def _one_network(timed: Mapping[str, Point]) -> Figure:
    """Say that there is nothing to weigh where training alone differs."""
    made = figure(WIDTH, 0.7)
    text = render("text/one_network.j2", times={runtime: p.ms[1] for runtime, p in timed.items()})
    axis = made.add_subplot()
    axis.set_axis_off()
    axis.text(0.5, 0.5, fmt.wrapped(text, 90), ha="center", va="center", transform=axis.transAxes)
    return made


def points(results: Results, runtime: str) -> list[Point]:
    """Return the arms that were both scored and timed, highest AP first, which their numbers follow.

    The same runs read the same way are one point.

    There is none for an int8 runtime, which detects something else than what was scored.
    """
    if runtime.endswith(INT8):
        return []
    order = list(results.ablations)
    scored = [(group, [*map(fmt.in_points, group[0].scores("AP").values())]) for group in distinct(results.arms)]
    ranked = sorted(((fmean(aps), group, aps) for group, aps in scored if aps), key=lambda item: -item[0])
    drawn = []
    for number, (mean, group, aps) in enumerate(ranked, start=1):
        ms = next(filter(None, (_milliseconds(arm, runtime) for arm in group)), None)
        if ms is None:
            continue
        colour = BASELINE if len(group) > 1 else COLOURS[order.index(group[0].arm.ablation) % len(COLOURS)]
        drawn.append(
            Point(
                number=number,
                label=group_label(group),
                colour=colour,
                baseline=any(arm.is_baseline for arm in group),
                peer=group[0].arm.model.peer is not None,
                published=group[0].arm.read if group[0].arm.published else None,
                ms=ms,
                ap=(min(aps), mean, max(aps)),
            )
        )
    return drawn


def untrained(results: Results, runtime: str) -> dict[str, float]:
    """Return network → milliseconds of its forward pass, for those that are not trained and so have no AP."""
    return {name: times[runtime] for name, times in results.untrained.items() if runtime in times}


def _sizes(axis: Axes, networks: dict[str, float]) -> None:
    """Mark networks without AP on the lower edge."""
    low, _ = axis.get_ylim()
    for ms in networks.values():
        axis.plot(ms, low, marker="^", color=FRONT, markersize=4, clip_on=False, zorder=3)
    left, right = axis.get_xlim()
    free = left
    for name, ms in sorted(networks.items(), key=lambda item: item[1]):
        # Names of networks that lie close stand side by side, in the triangles' order.
        place = max(ms, free)
        free = place + NAME * (right - left)
        axis.annotate(
            name,
            (place, low),
            xytext=(0, 4),
            textcoords="offset points",
            rotation=90,
            fontsize=5,
            color=FRONT,
            ha="center",
        )
    axis.set_ylim(bottom=low)


def same_arms(results: Results) -> list[str]:
    """Return, for each group of arms that are the same runs, "psa: psa = scdown: scdown"."""
    groups = [group for group in distinct(results.arms) if len(group) > 1]
    return [" = ".join(f"{arm.arm.ablation}: {arm.arm.name}" for arm in group) for group in groups]


def _milliseconds(arm: ArmResult, runtime: str) -> tuple[float, float, float] | None:
    """Return the median, which arms of one network share, between ends as far off as those of the paired ratio."""
    row = arm.row(runtime)
    if row is None:
        return None
    if row.ratio is None or row.ratio_low is None or row.ratio_high is None:
        return (row.p50_ms, row.p50_ms, row.p50_ms)
    return (row.p50_ms * row.ratio_low / row.ratio, row.p50_ms, row.p50_ms * row.ratio_high / row.ratio)


def front(drawn: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in one and equals or beats in the other, fastest first."""
    edge: list[Point] = []
    for point in sorted(drawn, key=lambda p: (p.ms[1], -p.ap[1])):
        if not edge or point.ap[1] > edge[-1].ap[1]:
            edge.append(point)
    return edge


def _panel(axis: Axes, drawn: Sequence[Point]) -> None:
    _front(axis, drawn, "--")
    for reading, style in READING_LINES.items():
        _front(axis, [p for p in drawn if p.published == reading], style)
    for p in reversed(drawn):
        _point(axis, p)
    axis.margins(0.06, 0.1)


def _front(axis: Axes, drawn: Sequence[Point], style: str) -> None:
    edge = front(drawn)
    ms, ap = [p.ms[1] for p in edge], [p.ap[1] for p in edge]
    axis.step(ms, ap, where="post", color=FRONT, linewidth=1.0, linestyle=style, zorder=1)


def _point(axis: Axes, p: Point) -> None:
    """Draw a point's bars, and its number on top: squares are baselines, diamonds peers."""
    axis.errorbar(
        p.ms[1],
        p.ap[1],
        xerr=[[p.ms[1] - p.ms[0]], [p.ms[2] - p.ms[1]]],
        yerr=[[p.ap[1] - p.ap[0]], [p.ap[2] - p.ap[1]]],
        fmt="none",
        ecolor=p.colour,
        elinewidth=0.6,
        alpha=0.5,
        zorder=2,
    )
    axis.plot(p.ms[1], p.ap[1], zorder=3, **_marker(p))
    axis.text(p.ms[1], p.ap[1], str(p.number), ha="center", va="center_baseline", fontsize=4.5, zorder=3)


def _marker(p: Point) -> dict[str, Any]:
    shape = "D" if p.peer else "s" if p.baseline else "o"
    size = {"D": 6.0, "s": 6.5, "o": 7.5}[shape]
    return {"marker": shape, "markersize": size, "markerfacecolor": "white", "markeredgecolor": p.colour, "ls": "none"}


def _key(axis: Axes, named: Sequence[Point], height: float) -> None:
    """Write every point's marker, number and name, from the top of a panel so many inches high."""
    axis.set_axis_off()
    axis.set_xlim(0, 1)
    axis.set_ylim(height, 0)
    step = min(LINE, height / max(1, len(named)))
    size = 6.5 * step / LINE
    for place, p in enumerate(named):
        middle = (place + 0.5) * step
        axis.plot(0.0, middle, clip_on=False, **_marker(p))
        axis.text(0.0, middle, str(p.number), ha="center", va="center_baseline", fontsize=4.5)
        axis.text(0.06, middle, p.label, va="center_baseline", fontsize=size)
