"""What an engineer chooses from: every network that was both scored and timed, in each runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from mnv4bench.report import formatting as fmt
from mnv4bench.report import timing
from mnv4bench.report.rendering import render
from mnv4bench.report.results import ArmResult, Results, distinct, group_label
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.results.latency import LatencyRow
from mnv4bench.spec.latency import INT8

Item = TypeVar("Item")


@dataclass(frozen=True)
class Choice:
    """A network in a runtime."""

    label: str
    arms: tuple[ArmResult, ...]
    """Equal ones, whichever ablations name them."""
    runtime: str
    row: LatencyRow
    """Of the end-to-end time."""
    ap: tuple[float, ...]
    """Of each seed, on 0–1; in eight-bit integers that of the network that was quantised."""

    @property
    def mean(self) -> float:
        return fmean(self.ap)

    @property
    def reach(self) -> tuple[float, float, float]:
        """Return the median of the milliseconds between ends as far off as those of the paired ratio's interval."""
        row = self.row
        if row.ratio is None or row.ratio_low is None or row.ratio_high is None:
            return row.p50_ms, row.p50_ms, row.p50_ms
        low, high = row.p50_ms * row.ratio_low / row.ratio, row.p50_ms * row.ratio_high / row.ratio
        return min(low, row.p50_ms), row.p50_ms, max(high, row.p50_ms)  # an interval of one value may be rounded off it


def choices(results: Results, runtime: str) -> list[Choice]:
    """Return the networks that were scored and timed in a runtime, the fastest first."""
    found = []
    for group in distinct(results.arms):
        timed = [(arm, row) for arm in group if (row := arm.row(runtime)) is not None]
        if timed and (scores := _scores(timed[0][0], runtime)):
            found.append(Choice(group_label(group), tuple(group), runtime, timed[0][1], scores))
    return sorted(found, key=lambda choice: (choice.row.p50_ms, -choice.mean))


def _scores(arm: ArmResult, runtime: str) -> tuple[float, ...]:
    if not runtime.endswith(INT8):
        return tuple(arm.scores("AP").values())
    record = arm.quantised.get(runtime)
    return () if record is None or record.AP is None else (record.AP,)


def leaders(items: Iterable[Item], time: Callable[[Item], float], score: Callable[[Item], float]) -> list[Item]:
    """Return the items that nothing at most as slow scores as high as, the fastest first: the Pareto front."""
    edge: list[Item] = []
    for item in sorted(items, key=lambda item: (time(item), -score(item))):
        if not edge or score(item) > score(edge[-1]):
            edge.append(item)
    return edge


def front(found: Iterable[Choice]) -> list[Choice]:
    return leaders(found, lambda choice: choice.row.p50_ms, lambda choice: choice.mean)


def ends(results: Results) -> Table:
    """Return a row per runtime: the ends of its front, which are the fastest network and the most accurate one."""
    fronts = {name: front(choices(results, name)) for name in (*results.timed, *results.timed_int8)}
    header = ("runtime", "fastest", "ms", "AP (points)", "most accurate", "ms", "AP (points)")
    rows = [(name, *_cells(edge[0]), *_cells(edge[-1])) for name, edge in fronts.items() if edge]
    return table(header, "llrrlrr", rows)


def _cells(choice: Choice) -> tuple[str, str, str]:
    first = choice.arms[0].arm
    return first.full_title, timing.milliseconds(choice.row), fmt.points(choice.mean, 1)


def across(results: Results) -> str:
    """Return that APs of different ablations do not compare networks: one network, trained alike but for the parts that
    started anew, has several. Empty where it has one."""
    found: dict[str, dict[tuple[str, ...], str]] = {}
    for arm in results.arms:
        spec = results.plan.spec(arm.arm)
        if arm.done:
            alike = found.setdefault(f"{spec.model_copy(update={'fresh': ()}).model_dump_json()} {arm.arm.read}", {})
            alike.setdefault(spec.fresh, fmt.points(arm.mean("AP"), 1))
    aps = sorted(max((set(alike.values()) for alike in found.values()), key=len, default=()))
    return render("text/across.j2", aps=aps, trunks=len(results.plan.trunks)) if len(aps) > 1 else ""


def baselines(results: Results) -> list[str]:
    """Return the baselines' AP in points: one value, or the lowest and the highest."""
    known = [mean for arm in results.arms if arm.is_baseline and (mean := arm.mean("AP")) is not None]
    return list(dict.fromkeys(fmt.points(value, 1) for value in (min(known), max(known)))) if known else []
