"""What a handful of disturbed times can say: medians with intervals, percentiles with a confidence, spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, stdtr, stdtrit

LEVEL = 0.95
"""Of the intervals of ratios."""
MANY = 5
"""Sessions from which on their scatter alone makes the interval."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """The typical log ratio of two times over the rounds of all sessions."""

    value: float
    """Median over all rounds."""
    low: float
    high: float
    p: float
    """Two-sided, of no difference at all."""
    sessions: tuple[float, ...]
    """Median of each session."""
    scatter: float
    """Interquartile range of the rounds about their session's median."""


def estimate(sessions: Sequence[Floats]) -> Estimate:
    """Return what paired rounds say about two times.

    Below five sessions the interval is that of order statistics over all rounds and p is the sign test's, its
    counterpart. Both are about the rounds of these processes: what a new process would shift, and too few of them
    cannot tell, is left to the noise floor (`noise.floor`), which a verdict has to pass as well. From five sessions on
    both are Student's t over the session medians, and hold it.

    Args:
        sessions: log ratios of each session's rounds, none empty.
    """
    rounds = np.concatenate(sessions)
    medians = np.array([np.median(logs) for logs in sessions])
    low, high = mean_interval(medians) if len(medians) >= MANY else median_interval(rounds)
    return Estimate(
        value=float(np.median(rounds)),
        low=low,
        high=high,
        p=t_test(medians) if len(medians) >= MANY else sign_test(rounds),
        sessions=tuple(medians.tolist()),
        scatter=quartile_range(np.concatenate([logs - np.median(logs) for logs in sessions])),
    )


def median_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return the distribution-free interval of a median: the k-th smallest and the k-th largest value.

    k is the largest for which the interval covers the median with probability `level`, whatever the continuous
    distribution (David and Nagaraja, Order Statistics, section 7.1). Fewer than six values cannot reach 95 %; they
    give the smallest and the largest.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    k = 1
    while 2 * (k + 1) <= n + 1 and coverage(n, k + 1) >= level:
        k += 1
    return float(ordered[k - 1]), float(ordered[n - k])


def coverage(n: int, k: int) -> float:
    """Return the probability that the k-th smallest and k-th largest of n values enclose the median."""
    return float(1 - 2 * bdtr(k - 1, n, 0.5))


def sign_test(values: ArrayLike) -> float:
    """Return the two-sided p of a median of zero: how evenly the signs fall. Zeros are left out."""
    signs = np.sign(np.asarray(values, float))
    above, below = int((signs > 0).sum()), int((signs < 0).sum())
    return min(1.0, float(2 * bdtr(min(above, below), above + below, 0.5)))


def mean_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return Student's interval of a mean, of two values or more."""
    sample = np.asarray(values, float)
    half = t_quantile(level, len(sample) - 1) * _standard_error(sample)
    return float(sample.mean() - half), float(sample.mean() + half)


def t_test(values: ArrayLike) -> float:
    """Return Student's two-sided p of a mean of zero, of two values or more; 1 where they are all zero."""
    sample = np.asarray(values, float)
    mean, error = abs(float(sample.mean())), _standard_error(sample)
    if error == 0:
        return 0.0 if mean else 1.0
    return float(2 * stdtr(len(sample) - 1, -mean / error))


def t_quantile(level: float, df: int) -> float:
    """Return how many standard errors the two-sided interval of `level` reaches, by Student's t."""
    return float(stdtrit(df, (1 + level) / 2))


def _standard_error(values: Floats) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def percentile(values: Sequence[float], share: float = 0.9, confidence: float = 0.99) -> float | None:
    """Return a value that `share` of all further ones stay below, or None where there are too few to say so.

    MLPerf Inference's early-stopping rule (LoadGen) with tolerance 0: of n values, t is the largest number with
    P(Binomial(n, 1 − share) ≤ t) ≤ 1 − confidence; the t − 1 slowest are discarded, and the slowest of the others is
    the answer. It takes 64 values to name a 90th percentile.
    """
    n = len(values)
    at_most = bdtr(np.arange(n), n, 1 - share)
    t = int(np.searchsorted(at_most, 1 - confidence, side="right")) - 1
    return sorted(values)[n - t] if t >= 1 else None


def quartile_range(values: ArrayLike) -> float:
    """Return the distance between the quartiles."""
    low, high = np.quantile(np.asarray(values, float), [0.25, 0.75])
    return float(high - low)
