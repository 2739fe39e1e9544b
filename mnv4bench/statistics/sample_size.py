"""How many seeds and images a verdict would take, from the noise that was measured."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.stats import norm

from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.statistics.small_samples import seeds_needed
from mnv4bench.statistics.verdict import surely_tiny

SETTLED = ("better", "worse", "equivalent", "under-trained")
"""Verdicts that more seeds and images would not change: decided, or not of a kind that noise leaves open."""


class SampleSize(NamedTuple):
    seeds: int
    """0 for given weights, which images alone decide about."""
    images: int


def sample_size(d: Difference, comparison: Comparison) -> SampleSize | None:
    """Return what would decide a comparison that its verdict leaves undecided; None where nothing would.

    A lead (`untestable`) takes the seeds whose smallest p can pass the test, at the images at hand. Any other takes a
    standard error of smallest_effect / (z₁₋α/₂ + z_power) by the normal approximation, half of its square left to the
    seeds and half to the images, since neither alone can bring the sum below the other's share; all of it to the images
    where the weights are given.
    """
    if d.verdict in SETTLED or surely_tiny(d) or d.image_se is None or (d.seed_sd is None and not d.given_weights):
        return None
    if d.verdict == "untestable":
        return SampleSize(seeds_needed(comparison.family, comparison.alpha), comparison.images)
    quantiles = norm.ppf((1 + comparison.level) / 2) + norm.ppf(comparison.power)
    wanted = (d.smallest_effect / quantiles) ** 2
    if d.seed_sd is None:
        return SampleSize(0, math.ceil(comparison.images * max(1.0, d.image_se**2 / wanted)))
    half = wanted / 2
    seeds = max(2, math.ceil(d.seed_sd**2 / half))
    return SampleSize(seeds, math.ceil(comparison.images * max(1.0, d.image_se**2 / half)))
