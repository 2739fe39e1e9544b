"""How quiet the machine was, and which differences of time it can tell from none.

Two probes run beside the arms in every session. The canary is a fixed piece of work: what moves it is the machine. The
copy is the reference arm once more, with weights of its own elsewhere in memory: whatever it differs by, the method
would also find between two arms that cost the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnv4bench.latency.analyse.estimates import LEVEL, Floats, coverage, median_interval, t_quantile

DRIFT = 0.05
"""Move of the canary between thirds of a session above which its rounds are not of one machine."""
SMALLEST = 0.02
"""Relative change below which no verdict is given, however quiet the machine."""


def canary_drift(times: Sequence[float]) -> float | None:
    """Return by how much the canary's median differs between the slowest and the fastest third of a session.

    Drift that reaches every arm alike cancels in the ratios, and still its session is not used: a machine that turned
    slower has seldom turned slower in arithmetic and memory alike, so arms have other ratios on it.

    Args:
        times: one per round, in order. Fewer than three rounds are a part each; None where there are none.
    """
    parts = [np.median(part) for part in np.array_split(np.asarray(times, float), 3) if len(part)]
    return float(max(parts) / min(parts) - 1) if parts else None


def copies_differ(logs: Floats) -> bool:
    """Return whether a session's copy differs from its original by surely more than the smallest change of interest.

    Not by surely more than nothing: where two copies lie in memory makes a lasting difference of some tenths of a
    percent, which many quiet rounds prove beyond doubt. No verdict rests on differences of that size, and the noise
    floor holds it; it is no reason to give up a session.

    Args:
        logs: log ratios copy over original, one per round. Too few for a 95 % interval prove nothing.
    """
    if not len(logs) or coverage(len(logs), 1) < LEVEL:
        return False
    low, high = median_interval(logs)
    return low > math.log1p(SMALLEST) or high < -math.log1p(SMALLEST)


def floor(medians: Sequence[float], used: int) -> float:
    """Return the smallest log ratio that can be told from none, as a positive number.

    That is the one which the mean of `used` sessions would exceed in one of twenty cases, were the arm nothing but
    another copy: t · r / sqrt(used), with r the root mean square of the copy's session medians and t the 97.5 %
    quantile of Student's distribution with as many degrees of freedom as there are medians (none is lost to a mean: the
    true one is zero). A 97.5th percentile over three sessions would be their largest value, exceeded by every fourth
    session to come, and 2 × SD takes the SD of three for known; here t is 3.18 for three sessions and 12.7 for one.

    Every session in which the canary kept still belongs in `medians`, those with differing copies too: leaving out the
    sessions in which the probe failed would leave a floor that is too low, and it does not protect the other arms,
    whose places in memory are their own.

    Args:
        medians: log ratio copy over original, a session each.
        used: sessions behind the ratio to be judged.
    """
    r = math.sqrt(sum(value**2 for value in medians) / len(medians))
    return t_quantile(LEVEL, len(medians)) * r / math.sqrt(used)
