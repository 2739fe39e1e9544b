"""AP and its differences as they are printed, in points: intervals, p values, agreement of the seeds, verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.results.comparison import Difference

STRONG = ("better", "worse")
"""The only verdicts that are set in bold."""


def decimals_of(results: Results) -> int:
    """Return the decimals that every AP of a preset is printed with."""
    return decimals_for(arm.difference for arm in results.arms)


def decimals_for(differences: Iterable[Difference | None]) -> int:
    """Return 1 or 2: as many decimals of AP in points as the narrowest interval carries to two digits."""
    halves = [50 * (d.high - d.low) for d in differences if d is not None and d.high is not None and d.low is not None]
    positive = [half for half in halves if half > 0]
    if not positive:
        return 1
    return min(2, max(1, 1 - math.floor(math.log10(min(positive)))))


def mean(arm: ArmResult, decimals: int) -> str:
    """Return the mean AP; where no seed has one, the states."""
    if arm.done:
        return fmt.points(arm.mean("AP"), decimals)
    return ", ".join(dict.fromkeys(fmt.state(result.state) for result in arm.seeds))


def per_seed(arm: ArmResult, decimals: int) -> list[str]:
    """Return each seed's AP, or the state that it ended in."""
    return [
        fmt.points(result.score("AP"), decimals) if result.state == "done" else fmt.state(result.state)
        for result in arm.seeds
    ]


def interval(d: Difference | None, decimals: int) -> str:
    """Return "+0.12 [−0.31, +0.55]", or an en dash."""
    if d is None or d.mean is None:
        return fmt.NONE
    middle = fmt.points(d.mean, decimals, sign=True)
    if d.low is None or d.high is None:
        return middle
    low, high = (fmt.bound(end, decimals) for end in (d.low, d.high))
    return f"{middle} [{low}, {high}]"


def strong(d: Difference | None) -> bool:
    return d is not None and d.verdict in STRONG


def verdict(d: Difference | None) -> str:
    """Return the verdict in a word or two, or an en dash."""
    if d is None or d.verdict is None:
        return fmt.NONE
    return _untestable(d) if d.verdict == "untestable" else d.verdict


def p_value(d: Difference | None) -> str:
    """Return p after Holm's adjustment, or that so few seeds cannot pass the test."""
    if d is None or d.mean is None:
        return fmt.NONE
    if d.p_holm is None:
        return _untestable(d)
    return "<0.001" if d.p_holm < 0.001 else fmt.number(d.p_holm, 3)


def _untestable(d: Difference) -> str:
    return f"untestable at {fmt.count(len(d.seeds), 'seed')}"


def agreement(d: Difference | None) -> str:
    """Return how many seeds have the mean's sign, and which: "3/3 up"; a mean of zero has none."""
    if d is None or not d.mean:
        return fmt.NONE
    return f"{d.agreeing}/{len(d.seeds)} {'up' if d.mean > 0 else 'down'}"


def seed_error(d: Difference | None) -> float | None:
    """Return the standard error over seeds alone: would another training agree?"""
    return None if d is None or d.seed_sd is None else d.seed_sd / math.sqrt(len(d.seeds))
