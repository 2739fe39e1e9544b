"""Statistics of small ablations: intervals that hold seed and image noise, an exact test, and what could be detected.

Everything here is a pure function of numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from mnv4bench.io.errors import DataError

Floats = NDArray[np.float64]

MOST_SEEDS = 40
"""For the sign-flip test, whose two halves of 2^20 sums each still fit into memory."""
TIE = 1e-9
"""Sign patterns whose |mean| falls short of the observed one by no more than this share of the mean |difference| tie
with it. Far above rounding, far below anything that AP resolves; a tie can only raise p."""


@dataclass(frozen=True)
class Interval:
    """A mean difference with both of its sources of noise, in the metric's unit."""

    mean: float
    low: float
    high: float
    seed_sd: float | None
    """Standard deviation of the difference over seeds; None with one seed: the interval then holds image noise only."""
    image_se: float
    """Standard error of the seed-averaged difference from resampling the images."""
    se: float
    """Of the mean, from both sources."""
    df: float


def combined_interval(
    deltas: Sequence[float] | Floats, image_replicates: Floats, images: int, level: float = 0.95
) -> Interval:
    """Return a confidence interval for the mean difference over other seeds and other images.

    The variances of the mean over seeds (s²/n) and over images are added; Welch and Satterthwaite's formula
    (Satterthwaite, Biometrics Bulletin 2, 1946) gives the degrees of freedom of Student's t.

    Args:
        deltas: (seeds,) differences on the full split.
        image_replicates: (replicates,) seed-averaged differences on resampled images; NaN (no object) is left out.
        images: Number of images in the split.
        level: Coverage, between 0 and 1.

    Raises:
        DataError: fewer than one seed, two images or two replicates.
    """
    values = np.asarray(deltas, np.float64)
    replicates = np.asarray(image_replicates, np.float64)
    replicates = replicates[~np.isnan(replicates)]
    if len(values) < 1 or images < 2 or len(replicates) < 2:
        raise DataError(
            f"interval: {len(values)} seeds, {images} images, {len(replicates)} resamples; needs at least 1, 2 and 2"
        )
    seed_sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    image_variance = float(np.var(replicates, ddof=1))
    parts = [(image_variance, images - 1)]
    if seed_sd is not None:
        parts.append((seed_sd**2 / len(values), len(values) - 1))
    se = math.sqrt(sum(part for part, _ in parts))
    df = satterthwaite(parts)
    mean = float(values.mean())
    half = student_t_quantile((1 + level) / 2, df) * se
    return Interval(mean, mean - half, mean + half, seed_sd, math.sqrt(image_variance), se, df)


def satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """Return the degrees of freedom of a sum of variances, each given with its own; the smallest where all are zero."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return float(min(df for _, df in parts))
    # Shares first: the squares of tiny variances would underflow.
    return float(1 / sum((variance / total) ** 2 / df for variance, df in parts))


def student_t_quantile(probability: float, df: float) -> float:
    """Return the value that Student's t with `df` >= 1 degrees of freedom stays below with this probability.

    Raises:
        ValueError: a probability outside (0, 1), or df below 1.
    """
    if not 0 < probability < 1 or not df >= 1:
        raise ValueError(f"probability {probability} must lie in (0, 1) and df {df} be at least 1")
    return float(stdtrit(df, probability))


def sign_flip_p(deltas: Sequence[float] | Floats) -> float:
    """Return the exact two-sided p that paired differences are symmetric about zero.

    Under that hypothesis each of the 2^n patterns of signs was equally likely; p is the share of patterns whose |mean|
    reaches the observed one (Fisher, The Design of Experiments, 1935, section 21). It cannot be smaller than
    `smallest_p(n)`. Half the differences are summed in every pattern and looked up among the sums of the other half, so
    that 2^(n/2) sums stand for 2^n patterns.

    Raises:
        DataError: no difference, or more than MOST_SEEDS.
    """
    values = np.asarray(deltas, np.float64)
    if not 1 <= len(values) <= MOST_SEEDS:
        raise DataError(f"sign-flip test: {len(values)} seeds; compare between 1 and {MOST_SEEDS}")
    least = abs(float(values.sum())) - TIE * float(np.abs(values).sum())
    if least <= 0:
        return 1.0
    first, second = np.array_split(values, 2)
    others = np.sort(_signed_sums(second))
    reaching = len(others) - np.searchsorted(others, least - _signed_sums(first))
    # Turning every sign mirrors the sums, so as many of them lie at or below −least.
    return float(2 * reaching.sum() / 2 ** len(values))


def _signed_sums(values: Floats) -> Floats:
    """Return (2^n,) sums of ± each value."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def smallest_p(seeds: int) -> float:
    """Return the smallest p that the sign-flip test can give: two patterns of 2^seeds."""
    return float(2.0 ** (1 - seeds))


def is_testable(seeds: int, family: int, alpha: float) -> bool:
    """Return whether so many seeds could pass Holm's first step.

    Later steps ask less, but whether a comparison gets to them depends on what the others show.
    """
    return family * smallest_p(seeds) <= alpha


def seeds_needed(family: int, alpha: float) -> int:
    """Return the smallest number of seeds that `is_testable`."""
    return next(seeds for seeds in itertools.count(1) if is_testable(seeds, family, alpha))


def holm(p_values: Sequence[float], family: int) -> list[float]:
    """Return p-values adjusted for a family of hypotheses, in the order given (Holm, Scand. J. Statistics 6, 1979).

    Args:
        p_values: One per hypothesis that was tested.
        family: Number of hypotheses, tested or not; those without a p-value count as not rejected (p = 1).

    Raises:
        ValueError: more p-values than hypotheses.
    """
    if len(p_values) > family:
        raise ValueError(f"{len(p_values)} p-values in a family of {family}")
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        reached = max(reached, min(1.0, (family - place) * p_values[index]))
        adjusted[index] = reached
    return adjusted


def detection_power(shift: float, df: float, alpha: float) -> float:
    """Return the probability that a two-sided t test at level alpha rejects, where the truth lies `shift` SE from zero.

    That is P(|T| > t) for noncentral T = (Z + shift) / S with S² = χ²/df, averaged over S: with S = e^x the integrand
    is smooth and falls off fast on both sides, and the trapezoidal rule is as good as exact. (SciPy 1.17's noncentral t
    is NaN from shifts of about 10 on.)
    """
    critical = student_t_quantile(1 - alpha / 2, df)
    reach = 10 / math.sqrt(2 * df)  # ten standard deviations of S; towards S = 0 the density falls as e^(df·x) only
    x, step = np.linspace(-reach - 40 / df, math.log1p(reach), 2001, retstep=True)
    scale = np.exp(x)
    log_density = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2) + df * (x - scale**2 / 2)
    rejected = ndtr(shift - critical * scale) + ndtr(-shift - critical * scale)
    # No dot product: BLAS adds in an order that depends on the processor.
    return float((np.exp(log_density) * rejected).sum() * step)


def minimum_detectable(se: float, df: float, alpha: float, power: float) -> float:
    """Return the smallest true difference that a two-sided t test at level alpha finds with this power.

    Args:
        se: Standard error of the difference.
        df: Its degrees of freedom, at least 1.
        alpha: Level of the test; 1 − the coverage of the interval that has to exclude zero.
        power: Between alpha and 1.

    Raises:
        ValueError: power not between alpha and 1, or df below 1.
    """
    if not alpha < power < 1:
        raise ValueError(f"power {power} must lie between alpha {alpha} and 1")
    low, high = 0.0, student_t_quantile(1 - alpha / 2, df)
    while detection_power(high, df, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if detection_power(middle, df, alpha) < power else (low, middle)
    return high * se
