"""Times and their ratios as they are printed: digits as far as the spread allows, verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.results.latency import LatencyRow, LatencySession, Stage

UNDECIDED = ("same", "unresolved")
"""Verdicts that mean little without the smallest change that could have been told."""


def milliseconds(row: LatencyRow | None) -> str:
    """Return the median time down to the first digit of half its interquartile range: two to four digits."""
    if row is None:
        return fmt.NONE
    if row.p50_ms <= 0:
        return fmt.significant(row.p50_ms)
    first = -math.floor(math.log10(row.p50_ms))
    decimals = fmt.decimals_of(row.p50_ms * row.spread / 2, max(0, first + 1), max(0, first + 3))
    return fmt.number(row.p50_ms, decimals)


def ratio(row: LatencyRow | None) -> str:
    """Return "0.934 [0.921, 0.947]", with as many decimals as the interval's half-width carries."""
    if row is None or row.ratio is None:
        return fmt.NONE
    if row.ratio_low is None or row.ratio_high is None:
        return fmt.number(row.ratio, 2)
    decimals = fmt.decimals_of((row.ratio_high - row.ratio_low) / 2, 2, 4)
    low, middle, high = (fmt.number(value, decimals) for value in (row.ratio_low, row.ratio, row.ratio_high))
    return f"{middle} [{low}, {high}]"


def ratio_and_verdict(row: LatencyRow | None) -> str:
    """Return both for one cell; two arms that deploy one network have no ratio worth a number."""
    if row is None or row.verdict == "identical" or row.ratio is None:
        return verdict(row)
    return f"{ratio(row)} {verdict(row)}"


def verdict(row: LatencyRow | None) -> str:
    """Return the verdict in a word or two, or an en dash."""
    if row is None or row.verdict is None:
        return fmt.NONE
    if row.verdict == "identical":
        return "identical network"
    if row.verdict in UNDECIDED and row.resolution is not None:
        return f"{row.verdict} (MDE {smallest(row.resolution)})"
    return row.verdict


def smallest(change: float) -> str:
    """Return the smallest change that can get a verdict; one of more than the whole time says that none can."""
    return fmt.share(change) if change <= 1 else f"above {fmt.percent(1)}"


def judged_times(results: Results, arm: ArmResult, stage: Stage = "end_to_end") -> dict[str, LatencyRow]:
    """Return runtime → time, for the runtimes that timed the arm as it was scored and gave a verdict."""
    rows = {name: arm.row(name, stage) for name in results.timed}
    return {name: row for name, row in rows.items() if row is not None and row.verdict is not None}


def contaminated(session: LatencySession) -> str:
    """Return which of a session's times take no part in ratios: "all", "torch post" or "no"."""
    places = (f"{d.runtime} {d.stage}" if d.runtime else "all" for d in session.contaminated)
    return ", ".join(places) or "no"


def resolutions(results: Results, runtimes: Iterable[str]) -> dict[str, float]:
    """Return runtime → the smallest change of the end-to-end time that can get a verdict."""
    largest = {}
    for runtime in runtimes:
        rows = (arm.row(runtime) for arm in results.arms)
        known = [row.resolution for row in rows if row is not None and row.resolution is not None]
        if known:
            largest[runtime] = max(known)
    return largest
