"""One comparison measured twice, elsewhere or from another trunk: whether the two disagree, what both support."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Literal

from mnv4bench.results.comparison import Difference, Verdict
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.plan import Plan
from mnv4bench.statistics.small_samples import student_t_quantile

WEAKEST_FIRST: tuple[Verdict, ...] = (
    "under-trained", "inconclusive", "untestable", "equivalent", "tiny", "better", "worse",
)  # fmt: skip
SIGNED = {"tiny", "better", "worse"}
"""Verdicts whose interval excludes zero, on the mean's side of it."""
CONTRADICTIONS = ({"better", "worse"}, {"better", "equivalent"}, {"worse", "equivalent"})

Disagreement = Literal["sign", "size"]


def disagreement(a: Difference, b: Difference) -> Disagreement | None:
    """Return whether the means differ in sign, or else in size so far that the intervals do not meet.

    The sign of a difference that is equivalent to none says nothing, so two of those do not disagree in it.
    """
    if a.mean is None or b.mean is None:
        return None
    if a.mean * b.mean < 0 and {a.verdict, b.verdict} != {"equivalent"}:
        return "sign"
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    return "size" if max(a.low, b.low) > min(a.high, b.high) else None


def shared_verdict(a: Difference, b: Difference) -> Verdict | None:
    """Return the verdict that claims less; None where both cannot be true, or where one has none."""
    if a.verdict is None or b.verdict is None or {a.verdict, b.verdict} in CONTRADICTIONS:
        return None
    if {a.verdict, b.verdict} <= SIGNED and disagreement(a, b) == "sign":
        return None
    return min(a.verdict, b.verdict, key=WEAKEST_FIRST.index)


def by_trunk(plan: Plan, arm: Arm, deltas: Mapping[int, float]) -> dict[str, list[float]]:
    """Return trunk → differences of the seeds that started from it; empty where there are not several."""
    blocks = {trunk.name: trunk.block for trunk in plan.trunks}
    found: dict[str, list[float]] = {}
    for seed, delta in deltas.items():
        if start := plan.runs[arm.runs[seed]].start:
            found.setdefault(blocks[start], []).append(delta)
    return found if len(found) > 1 else {}


def opposed(groups: Mapping[str, Sequence[float]], level: float) -> bool:
    """Return whether groups of seeds have means on both sides of zero, each beyond its interval over seeds alone.

    Nothing is adjusted for how many comparisons are looked at, so it is a lead.
    """
    signs = set()
    for values in groups.values():
        if len(values) > 1:
            mean = fmean(values)
            half = student_t_quantile((1 + level) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
            signs |= {mean > 0} if abs(mean) > half else set()
    return len(signs) == 2
