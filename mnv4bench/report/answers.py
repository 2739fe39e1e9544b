"""Every comparison in one row that a person reads first: AP in points, its verdict, and the time over all runtimes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mnv4bench.report import accuracy
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import render
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.cells import Cell, Table, table
from mnv4bench.report.timing import judged_times
from mnv4bench.results.latency import UNJUDGED, LatencyRow, Stage


def answers(results: Results) -> Table:
    """Return a row per comparison, in the preset's order."""
    header = ("part", "comparison", f"ΔAP (points) [{fmt.percent(results.comparison.level)}]", "verdict", "time ×")
    rows = [(*_names(results, arm), *_difference(results, arm), time(results, arm)) for arm in _compared(results)]
    return table(header, "llrll", rows)


def answers_on(several: Sequence[Results]) -> Table:
    """Return a row per comparison of the first results, with what is said of it on each data set.

    Results on one data set share a column, in which the first of them that has a comparison tells it. Times are of the
    first results of all.
    """
    first = several[0]
    on: dict[str, list[Results]] = {}
    for results in several:
        on.setdefault(results.data.record.name, []).append(results)
    names = [f"ΔAP on {name} [{fmt.percent(found[0].comparison.level)}]" for name, found in on.items()]
    header = ("part", "comparison", *names, f"time × on {first.data.record.name}")
    return table(header, "ll" + "r" * len(on) + "l", [_row(first, arm, on.values()) for arm in _compared(first)])


def _row(first: Results, arm: ArmResult, on: Iterable[Sequence[Results]]) -> Sequence[Cell | str]:
    said = (_told(several, arm.arm.label) for several in on)
    return *_names(first, arm), *said, time(first, arm)


def _compared(results: Results) -> list[ArmResult]:
    return [arm for arm in results.arms if not arm.is_baseline]


def _told(several: Sequence[Results], label: str) -> Cell:
    """Return what the first of these results that has a comparison says of it."""
    found = ((results, arm) for results in several for arm in _compared(results) if arm.arm.label == label)
    results, arm = next(found, (None, None))
    if results is None or arm is None:
        return Cell(fmt.NONE)
    interval, verdict = _difference(results, arm)
    return Cell(f"{interval.text} {verdict.text}", interval.strong)


def _names(results: Results, arm: ArmResult) -> tuple[str, str]:
    spec = results.plan.ablations[arm.arm.ablation]
    return spec.title, f"{arm.arm.title} − {spec.title_of(spec.baseline)}"


def _difference(results: Results, arm: ArmResult) -> tuple[Cell, Cell]:
    strong = accuracy.strong(arm.difference)
    interval = accuracy.interval(arm.difference, accuracy.decimals_of(results))
    return Cell(interval, strong), Cell(accuracy.verdict(arm.difference), strong)


def time(results: Results, arm: ArmResult, stage: Stage = "end_to_end") -> str:
    """Return the time over the baseline's, from the lowest to the highest ratio of the runtimes."""
    rows = judged_times(results, arm, stage)
    ratios = [row.ratio for row in rows.values() if row.ratio is not None and row.verdict != "identical"]
    ends = [fmt.number(value, 2) for value in (min(ratios), max(ratios))] if ratios else []
    return render(
        "text/answer_time.j2",
        ends=list(dict.fromkeys(ends)),
        identical=bool(rows) and not ratios,
        timed=len(rows),
        judged=any(row.verdict not in UNJUDGED for row in rows.values()),
        faster=_judged(rows, "faster"),
        slower=_judged(rows, "slower"),
        unresolved=_judged(rows, "unresolved"),
    )


def _judged(rows: dict[str, LatencyRow], verdict: str) -> list[str]:
    return [name for name, row in rows.items() if row.verdict == verdict]
