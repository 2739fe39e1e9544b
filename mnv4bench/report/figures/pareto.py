"""Accuracy against latency: what nothing else beats on both, in all runtimes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from mnv4bench.report import formatting as fmt
from mnv4bench.report import text
from mnv4bench.report.choices import Choice, choices, leaders
from mnv4bench.report.figures import labels
from mnv4bench.report.figures.style import COLOURS, FAINT, WIDTH, figure, saying
from mnv4bench.report.rendering import render
from mnv4bench.report.results import Results, distinct, grouped
from mnv4bench.spec.latency import INT8

Place = tuple[float, float]
"""Milliseconds and AP."""

FRONT = "#666666"
HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 4.4, 0.6, 0.1, 0.42, 0.36
"""Inches of the figure, and of the margins around its panel without the legend."""
ACROSS, ROW = 6, 0.15
"""Entries in a row of the legend; inches of a row."""
NAME = 5.5
"""Points of the type of names."""
RADIUS = 3.2
"""Points around a mark that no name may cover."""
SIZES = {"o": 4.5, "s": 4.5, "D": 4.2, "^": 4.5}
ROLES = {"s": "baseline", "o": "arm", "D": "peer", "^": "not trained, without AP"}
MARGIN = 0.08
"""Share of the values' range that is added on either side."""
SUBDIVISIONS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
"""Ticks of a decade, few or many."""


@dataclass(frozen=True)
class Point:
    """A network in a runtime: milliseconds, and AP in points, each with the ends of its bar."""

    label: str
    runtime: str
    shape: str
    """One of ROLES."""
    runs: tuple[Any, ...]
    """What was trained; the same runs read in another way are another point."""
    ms: tuple[float, float, float]
    """Low, middle, high: the median, and as far off on either side as the paired ratio's interval is."""
    ap: tuple[float, float, float]
    """Lowest seed, mean, highest seed."""
    hollow: bool = False
    """Whether it computes in eight-bit integers."""


def pareto(results: Results) -> Figure:
    """Return AP over end-to-end latency, every runtime in its colour, with the fronts and the names that fit."""
    if one_network(results):
        return _one_network(results)
    drawn = points(results)
    bare = {runtime: untrained(results, runtime) for runtime in results.timed}
    made = figure(WIDTH, HEIGHT)
    made.set_layout_engine("none")  # names are placed by what the panel measures
    handles = _handles(drawn, bare, colours(results))
    top = TOP + ROW * ceil(len(handles) / ACROSS)
    inner = (LEFT / WIDTH, BOTTOM / HEIGHT, 1 - (LEFT + RIGHT) / WIDTH, 1 - (BOTTOM + top) / HEIGHT)
    axis = made.add_axes(inner)
    axis.set_xlabel("end-to-end latency, ms per image")
    axis.set_ylabel("AP (points)")
    one_seed = len(results.plan.preset.seeds) > 1 and any(point.runtime.endswith(INT8) for point in drawn)
    machine = render("text/pareto.j2", latency=results.latency, imgsz=results.cost.imgsz, one_seed=one_seed)
    made.text(LEFT / WIDTH, 1 - 0.06 / HEIGHT, machine, va="top", fontsize=7)
    if not drawn:
        why = [f"{name}: {reason}" for name, reason in text.absences(results.latency).items()]
        said = "\n".join(fmt.wrapped(line, 90) for line in [render("text/no_choice.j2"), *why])
        axis.text(0.5, 0.5, said, ha="center", va="center", transform=axis.transAxes)
        return made
    _panel(axis, drawn, bare, colours(results))
    made.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=((LEFT - 0.05) / WIDTH, 1 - 0.2 / HEIGHT),
        ncols=min(ACROSS, len(handles)),
        handlelength=1.4,
        columnspacing=1.2,
        borderaxespad=0,
        borderpad=0.2,
    )
    return made


def one_network(results: Results) -> bool:
    """Return whether several arms take the same time in every runtime, because they deploy the same network."""
    panels = [found for runtime in results.timed if (found := choices(results, runtime))]
    return any(len(found) > 1 for found in panels) and all(len({c.row.p50_ms for c in found}) == 1 for found in panels)


def _one_network(results: Results) -> Figure:
    """Say that there is nothing to weigh where training alone differs."""
    times = {runtime: found[0].row.p50_ms for runtime in results.timed if (found := choices(results, runtime))}
    return saying(render("text/one_network.j2", times=times))


def points(results: Results) -> list[Point]:
    """Return the networks that were both scored and timed in each runtime; in eight-bit ones with the AP that they have
    there. Arms that are the same runs read the same way are one point."""
    runtimes = (*results.timed, *results.timed_int8)
    return [_point(results, choice) for runtime in runtimes for choice in choices(results, runtime)]


def _point(results: Results, choice: Choice) -> Point:
    first = choice.arms[0].arm
    baseline = any(arm.is_baseline for arm in choice.arms)
    return Point(
        label=first.full_title,
        runtime=choice.runtime,
        shape="D" if first.model.peer is not None else "s" if baseline else "o",
        runs=tuple(first.runs.values()),
        ms=choice.reach,
        ap=(fmt.in_points(min(choice.ap)), fmt.in_points(choice.mean), fmt.in_points(max(choice.ap))),
        hollow=any(name.endswith(INT8) for name in (choice.runtime, results.plan.spec(first).deploy.runtime)),
    )


def untrained(results: Results, runtime: str) -> dict[str, float]:
    """Return network → milliseconds of its forward pass, for those that are not trained and so have no AP."""
    return {name: times[runtime] for name, times in results.untrained.items() if runtime in times}


def same_arms(results: Results) -> list[str]:
    """Return, for each group of arms that are the same runs, "psa: psa = scdown: scdown"."""
    groups = [group for group in distinct(results.arms) if len(group) > 1]
    return [" = ".join(arm.arm.full_title for arm in group) for group in groups]


def colours(results: Results) -> dict[str, str]:
    """Return runtime → colour; one that computes in eight-bit integers has that of its like in floats."""
    names = (*results.timed, *results.timed_int8)
    families = list(dict.fromkeys(name.removesuffix(INT8) for name in names))
    return {name: COLOURS[families.index(name.removesuffix(INT8)) % len(COLOURS)] for name in names}


def front(drawn: Sequence[Point]) -> list[Point]:
    """Return the points that nothing at most as slow scores as high as, fastest first."""
    return leaders(drawn, lambda p: p.ms[1], lambda p: p.ap[1])


def _panel(
    axis: Axes, drawn: Sequence[Point], bare: Mapping[str, Mapping[str, float]], colour_of: Mapping[str, str]
) -> None:
    _limits(axis, drawn, [ms for networks in bare.values() for ms in networks.values()])
    edge = front(drawn)
    fronts = [edge, *(front([p for p in drawn if p.runtime == runtime]) for runtime in colour_of)]
    for of_runtime, colour in zip(fronts[1:], colour_of.values(), strict=True):
        axis.step(*_curve(of_runtime), where="post", color=colour, linewidth=0.7, alpha=0.6, zorder=1)
    axis.step(*_curve(edge), "--", where="post", color=FRONT, linewidth=1.2, zorder=1)
    for first, second in readings(drawn):
        axis.plot(*_curve((first, second)), ":", color=colour_of[first.runtime], linewidth=0.9, zorder=1)
    for p in drawn:
        _mark(axis, p, colour_of[p.runtime])
    low, _ = axis.get_ylim()
    triangles = [(name, runtime, ms) for runtime, networks in bare.items() for name, ms in networks.items()]
    for _, runtime, ms in triangles:
        axis.plot(ms, low, clip_on=False, zorder=4, **_marker("^", colour_of[runtime]))
    named = named_points(drawn, edge)
    for name, _, ms in sorted(triangles, key=lambda triangle: triangle[2]):
        named.setdefault(name, []).append((ms, low))
    _names(axis, named, [*_places(drawn), *((ms, low) for _, _, ms in triangles)], [_corners(f) for f in fronts])


def _places(drawn: Sequence[Point]) -> list[Place]:
    return [(p.ms[1], p.ap[1]) for p in drawn]


def _curve(drawn: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [p.ms[1] for p in drawn], [p.ap[1] for p in drawn]


def _corners(drawn: Sequence[Point]) -> list[Place]:
    """Return the corners of a front."""
    places = _places(drawn)
    steps = [corner for (_, ap), (ms, above) in pairwise(places) for corner in ((ms, ap), (ms, above))]
    return [*places[:1], *steps]


def readings(drawn: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Return the pairs of points that are the same runs in one runtime, read in two ways."""
    found = grouped(drawn, lambda p: (p.runtime, *p.runs))
    return [(group[0], group[1]) for group in found.values() if len(group) == 2]


def named_points(drawn: Sequence[Point], edge: Sequence[Point]) -> dict[str, list[Place]]:
    """Return network → the points at which it may be named: on the front, or the fastest first; the most telling
    networks first."""
    ranked = [*edge, *sorted(drawn, key=lambda p: (p.shape == "o", p.ms[1]))]
    return {label: _places(same) for label, same in grouped(ranked, lambda p: p.label).items()}


def _limits(axis: Axes, drawn: Sequence[Point], others: Sequence[float]) -> None:
    times = [ms for p in drawn for ms in p.ms] + list(others)
    widest = max(times) / min(times)
    factor = widest**MARGIN if widest > 1 else 1.1
    low, high = min(times) / factor, max(times) * factor
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    ticks = log_ticks(low, high)
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([fmt.plain(tick) for tick in ticks])
    scores = [ap for p in drawn for ap in p.ap]
    margin = MARGIN * (max(scores) - min(scores)) or 1.0
    axis.set_ylim(min(scores) - margin, max(scores) + margin)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))


def log_ticks(low: float, high: float) -> list[float]:
    """Return at least three round values between two others: of each decade the same, or evenly spaced ones."""
    for digits in SUBDIVISIONS:
        values = [round(digit * 10.0**power, 12) for power in range(-6, 9) for digit in digits]
        inside = [value for value in values if low <= value <= high]
        if len(inside) >= 3:
            return inside
    values = [round(float(value), 12) for value in MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(low, high)]
    return [value for value in values if low <= value <= high]


def _mark(axis: Axes, p: Point, colour: str) -> None:
    axis.errorbar(
        p.ms[1],
        p.ap[1],
        xerr=[[p.ms[1] - p.ms[0]], [p.ms[2] - p.ms[1]]],
        yerr=[[p.ap[1] - p.ap[0]], [p.ap[2] - p.ap[1]]],
        fmt="none",
        ecolor=colour,
        elinewidth=0.5,
        alpha=0.35,
        zorder=2,
    )
    axis.plot(p.ms[1], p.ap[1], zorder=3, **_marker(p.shape, colour, p.hollow))


def _marker(shape: str, colour: str, hollow: bool = False) -> dict[str, Any]:
    """Return a mark: filled, or hollow for eight-bit integers."""
    face = "white" if hollow else colour
    edge = colour if hollow else "white"
    width = 1.0 if hollow else 0.4
    return {
        "marker": shape,
        "markersize": SIZES[shape],
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": width,
        "ls": "none",
    }


def _names(
    axis: Axes, named: Mapping[str, Sequence[Place]], marks: Sequence[Place], lines: Sequence[Sequence[Place]]
) -> None:
    """Print the names that fit."""
    unit = axis.get_figure(root=True).dpi / 72  # type: ignore[union-attr]  # places are in points

    def place(at: Place) -> Place:
        x, y = axis.transData.transform(at) / unit
        return float(x), float(y)

    def back(at: Place) -> Place:
        ms, ap = axis.transData.inverted().transform((at[0] * unit, at[1] * unit))
        return float(ms), float(ap)

    drawn = [axis.text(1, 1, name, fontsize=NAME, va="bottom") for name in named]
    boxes = [artist.get_window_extent() for artist in drawn]
    inside = axis.get_window_extent()
    spots = labels.place(
        [[place(at) for at in places] for places in named.values()],
        [(box.width / unit, box.height / unit) for box in boxes],
        [place(mark) for mark in marks],
        RADIUS,
        [(place(start), place(end)) for line in lines for start, end in pairwise(line)],
        (inside.x0 / unit + 1, inside.y0 / unit + 1, inside.x1 / unit, inside.y1 / unit),
    )
    for artist, spot in zip(drawn, spots, strict=True):
        if spot is None:
            artist.remove()
            continue
        artist.set_position(back((spot.left, spot.bottom)))
        if spot.joint is not None:
            (start, low), (end, high) = back(spot.anchor), back(spot.joint)
            axis.plot([start, end], [low, high], color=FAINT, linewidth=0.4, zorder=2)


def _handles(
    drawn: Sequence[Point], bare: Mapping[str, Mapping[str, float]], colour_of: Mapping[str, str]
) -> list[Line2D]:
    """Return the entries of the legend."""
    shapes = {p.shape for p in drawn} | ({"^"} if any(bare.values()) else set())
    roles = [(role, shape, False) for shape, role in ROLES.items() if shape in shapes]
    if any(p.hollow and not p.runtime.endswith(INT8) for p in drawn):
        roles.append(("int8", "o", True))
    lines = [
        Line2D([], [], color=FRONT, linestyle="--", linewidth=1.2, label="front"),
        Line2D([], [], color=FRONT, linestyle="-", linewidth=0.7, label="a runtime's front"),
    ]
    if readings(drawn):
        lines.append(Line2D([], [], color=FRONT, linestyle=":", linewidth=0.9, label="two readings"))
    return [
        *(Line2D([], [], label=n, **_marker("o", colour, n.endswith(INT8))) for n, colour in colour_of.items()),
        *(Line2D([], [], label=role, **_marker(shape, FRONT, hollow)) for role, shape, hollow in roles),
        *lines,
    ]
