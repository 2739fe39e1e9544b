"""Accuracy against latency: which arms nothing else beats on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnv4bench.report import words
from mnv4bench.report.collect import QUANTISED, UNTRAINED, ArmResult, Results, distinct
from mnv4bench.report.style import BASELINE, COLOURS, FAINT, WIDTH, figure

FRONT = "#666666"
TALLEST = 9.0
"""Inches of all panels together."""
FEW = 18
"""Up to so many points are all named."""


@dataclass(frozen=True)
class Point:
    """Milliseconds and AP, each with the ends of its bar."""

    label: str
    colour: str
    baseline: bool
    peer: bool
    ms: tuple[float, float, float]
    """Low, middle, high: the median, and as far off on either side as the paired ratio's interval is."""
    ap: tuple[float, float, float]
    """Lowest seed, mean, highest seed."""


def pareto(results: Results) -> Figure:
    """Return AP over end-to-end latency, one panel per runtime, the front drawn and points named in the margin.

    All points are named where they are few; of many, those of the front, of baselines and of peers.
    """
    groups = distinct(results.arms)
    runtimes = results.timed or results.runtimes
    height = min(max(2.0, 0.5 + 0.155 * len(groups)), TALLEST / len(runtimes))
    made = figure(WIDTH, height * len(runtimes))
    for position, runtime in enumerate(runtimes):
        axis = made.add_subplot(len(runtimes), 1, position + 1)
        busy = "" if results.latency.comparable else " (the machine was busy: not comparable)"
        axis.set_title(f"{runtime}{busy}", loc="left")
        axis.set_xlabel("end-to-end latency, ms per image")
        axis.set_ylabel("AP")
        drawn = points(results, runtime)
        if drawn:
            _panel(axis, drawn)
            _sizes(axis, untrained(results, runtime))
        else:
            why = results.latency.absent.get(runtime, "no arm was both scored and timed")
            axis.text(0.5, 0.5, words.wrapped(why, 60), ha="center", va="center", transform=axis.transAxes)
    return made


def named(drawn: Sequence[Point]) -> list[Point]:
    """Return the points that get a name: all where they are few, else the front, baselines and peers."""
    edge = front(drawn)
    return [p for p in drawn if len(drawn) <= FEW or p in edge or p.baseline or p.peer]


def points(results: Results, runtime: str) -> list[Point]:
    """Return the arms that were both scored and timed; the same runs read the same way are one point.

    There is none for an int8 runtime, which detects something else than what was scored.
    """
    if runtime.endswith(QUANTISED):
        return []
    order = list(results.ablations)
    found = []
    for group in distinct(results.arms):
        aps = list(group[0].scores("AP").values())
        ms = next(filter(None, (_milliseconds(arm, runtime) for arm in group)), None)
        if ms is None or not aps:
            continue
        mean = sum(aps) / len(aps)
        colour = BASELINE if len(group) > 1 else COLOURS[order.index(group[0].arm.ablation) % len(COLOURS)]
        found.append(
            Point(
                label=group_label(group),
                colour=colour,
                baseline=any(arm.is_baseline for arm in group),
                peer=group[0].arm.model.peer is not None,
                ms=ms,
                ap=(min(aps), mean, max(aps)),
            )
        )
    return found


def untrained(results: Results, runtime: str) -> dict[str, float]:
    """Return network → milliseconds of its forward pass, for those that are not trained and so have no AP."""
    rows = results.sizes.rows if results.sizes else ()
    return {row.arm: row.p50_ms for row in rows if row.runtime == runtime and row.arm in UNTRAINED}


def _sizes(axis: Axes, found: dict[str, float]) -> None:
    """Mark networks without AP on the lower edge."""
    low, _ = axis.get_ylim()
    for name, ms in found.items():
        axis.plot(ms, low, marker="^", color=FRONT, markersize=4, clip_on=False, zorder=3)
        axis.annotate(
            name,
            (ms, low),
            xytext=(0, 4),
            textcoords="offset points",
            rotation=90,
            fontsize=5,
            color=FRONT,
            ha="center",
        )
    axis.set_ylim(bottom=low)


def group_label(group: Sequence[ArmResult]) -> str:
    """Return "psa: none", or for arms that are one, "psa: psa = scdown: scdown", the rest counted."""
    names = [f"{arm.arm.ablation}: {arm.arm.name}" for arm in group]
    return " = ".join(names) if len(names) <= 1 else f"{names[0]} (+{len(names) - 1} same)"


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
    found: list[Point] = []
    for point in sorted(drawn, key=lambda p: (p.ms[1], -p.ap[1])):
        if not found or point.ap[1] > found[-1].ap[1]:
            found.append(point)
    return found


def _panel(axis: Axes, drawn: Sequence[Point]) -> None:
    edge = front(drawn)
    axis.step(
        [p.ms[1] for p in edge],
        [p.ap[1] for p in edge],
        where="post",
        color=FRONT,
        linewidth=1.0,
        linestyle="--",
        zorder=1,
    )
    labelled = named(drawn)
    for p in drawn:
        _point(axis, p, faint=p not in labelled)
    axis.margins(0.06, 0.1)
    _margin_labels(axis, labelled)


def _point(axis: Axes, p: Point, faint: bool) -> None:
    """Draw a point with its bars: squares are baselines, diamonds peers; those without a name stay behind."""
    axis.errorbar(
        p.ms[1],
        p.ap[1],
        xerr=[[p.ms[1] - p.ms[0]], [p.ms[2] - p.ms[1]]],
        yerr=[[p.ap[1] - p.ap[0]], [p.ap[2] - p.ap[1]]],
        fmt="D" if p.peer else "s" if p.baseline else "o",
        color=FAINT if faint else p.colour,
        markerfacecolor="white" if p.baseline and not p.peer else FAINT if faint else p.colour,
        markersize=3 if faint else 4.5,
        elinewidth=0.5 if faint else 0.7,
        alpha=0.6 if faint else 1,
        zorder=2 if faint else 3,
    )


def _margin_labels(axis: Axes, drawn: Sequence[Point]) -> None:
    """Name the points in a column beside the panel, spread so that no two names touch, in the points' own order."""
    low, high = axis.get_ylim()
    ordered = sorted(drawn, key=lambda p: (p.ap[1], -p.ms[1]))
    heights = spread([(p.ap[1] - low) / (high - low) for p in ordered], 1 / max(9, len(ordered) - 1))
    for p, height in zip(ordered, heights, strict=True):
        axis.annotate(
            p.label,
            xy=(p.ms[1], p.ap[1]),
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=6.5,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": FAINT,
                "linewidth": 0.4,
                "linestyle": ":",
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return ascending positions in 0–1, near the wanted ones and at least `gap` apart where that fits."""
    placed: list[float] = []
    for value in wanted:
        placed.append(max(value, placed[-1] + gap) if placed else max(value, 0.0))
    top = 1.0
    for position in reversed(range(len(placed))):
        placed[position] = min(placed[position], top)
        top = placed[position] - gap
    return placed
