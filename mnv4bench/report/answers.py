"""Every comparison in one row that a person reads first: AP in points, its verdict, and the time over all runtimes."""

from __future__ import annotations

from collections.abc import Sequence

from mnv4bench.report import accuracy
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import render
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.cells import Cell, Table, table
from mnv4bench.report.timing import judged_times
from mnv4bench.results.latency import UNJUDGED, LatencyRow


def answers(results: Results) -> Table:
    """Return a row per comparison, in the preset's order."""
    header = ("part", "comparison", f"ΔAP (points) [{fmt.percent(results.comparison.level)}]", "verdict", "time ×")
    return table(header, "llrll", [_row(results, arm) for arm in results.arms if not arm.is_baseline])


def _row(results: Results, arm: ArmResult) -> Sequence[Cell | str]:
    spec = results.plan.ablations[arm.arm.ablation]
    strong = accuracy.strong(arm.difference)
    return (
        spec.title,
        f"{arm.arm.title} − {spec.title_of(spec.baseline)}",
        Cell(accuracy.interval(arm.difference, accuracy.decimals_of(results)), strong),
        Cell(accuracy.verdict(arm.difference), strong),
        time(results, arm),
    )


def time(results: Results, arm: ArmResult) -> str:
    """Return the end-to-end time over the baseline's, from the lowest to the highest ratio of the runtimes."""
    rows = judged_times(results, arm)
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
