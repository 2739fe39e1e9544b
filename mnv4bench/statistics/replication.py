"""One comparison measured twice: whether the two disagree, and which verdict both support."""

from __future__ import annotations

from typing import Literal

from mnv4bench.results.comparison import Difference, Verdict

WEAKEST_FIRST: tuple[Verdict, ...] = (
    "under-trained", "inconclusive", "untestable", "equivalent", "tiny", "better", "worse",
)  # fmt: skip
SIGNED = {"tiny", "better", "worse"}
"""Verdicts whose interval excludes zero, on the mean's side of it."""
CONTRADICTIONS = ({"better", "worse"}, {"better", "equivalent"}, {"worse", "equivalent"})

Disagreement = Literal["sign", "size"]


def disagreement(a: Difference, b: Difference) -> Disagreement | None:
    """Return whether the means differ in sign, or else in size so far that the intervals do not meet."""
    if a.mean is None or b.mean is None:
        return None
    if a.mean * b.mean < 0:
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
