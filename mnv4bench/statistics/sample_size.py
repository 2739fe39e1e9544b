"""How many seeds and images a verdict would take, from the noise that was measured."""

from __future__ import annotations

import math
from itertools import count
from typing import NamedTuple

from scipy.stats import norm

from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.statistics.small_samples import minimum_detectable, satterthwaite, seeds_needed
from mnv4bench.statistics.verdict import surely_tiny

SETTLED = ("better", "worse", "equivalent", "under-trained")
"""Verdicts that more seeds and images would not change: decided, or not of a kind that noise leaves open."""


class SampleSize(NamedTuple):
    seeds: int
    """0 for given weights, which images alone decide about."""
    images: int
    tested: int = 0
    """Seeds from which on the test can pass, which better and worse need besides; 0 for given weights."""


def sample_size(d: Difference, comparison: Comparison) -> SampleSize | None:
    """Return what would decide a comparison that its verdict leaves undecided; None where nothing would.

    A lead (`untestable`) takes the seeds whose smallest p can pass the test, at the images at hand. Any other takes a
    minimum detectable difference (`Difference.mde`) of no more than smallest_effect. The images at hand keep their
    share of the variance up to half, since more seeds cannot bring the sum below it; where weights are given, all of it
    is theirs. Nothing is known of what would pass a test that contradicts its interval.
    """
    if d.verdict in SETTLED or surely_tiny(d) or d.image_se is None or (d.seed_sd is None and not d.given_weights):
        return None
    if d.verdict == "inconclusive" and d.excludes_zero:
        return None
    if d.seed_sd is None:
        return SampleSize(0, _images(d.smallest_effect, d.image_se, comparison))
    tested = seeds_needed(comparison.family, comparison.alpha)
    if d.verdict == "untestable":
        return SampleSize(tested, comparison.images, tested)
    return SampleSize(*_seeds_and_images(d, d.seed_sd, d.image_se, comparison), tested)


def _images(effect: float, image_se: float, comparison: Comparison) -> int:
    # More images would have more degrees of freedom, so this is not too few.
    return _grown(comparison.images, image_se**2, (effect / _detectable(comparison.images - 1, comparison)) ** 2)


def _seeds_and_images(d: Difference, seed_sd: float, image_se: float, comparison: Comparison) -> tuple[int, int]:
    """Return what is at hand where that will do, or more seeds and, where those at hand take half or more, images."""
    effect, known = d.smallest_effect, comparison.images
    normal = (
        effect / (norm.ppf((1 + comparison.level) / 2) + norm.ppf(comparison.power))
    ) ** 2  # Student's t asks more
    fewest = seed_sd**2 / (normal - min(image_se**2, normal / 2))
    for seeds in count(max(len(d.seeds), math.ceil(fewest))):
        df = satterthwaite([(1, seeds - 1), (1, known - 1)])
        half = (effect / _detectable(df, comparison)) ** 2 / 2
        for images in (known, _grown(known, image_se**2, half)):
            parts = [(seed_sd**2 / seeds, seeds - 1), (image_se**2 * known / images, images - 1)]
            se = math.sqrt(sum(variance for variance, _ in parts))
            if se * _detectable(satterthwaite(parts), comparison) <= effect:
                return seeds, images
    raise AssertionError("unreachable: the standard error falls without end")


def _grown(images: int, variance: float, wanted: float) -> int:
    """Return the images that bring a variance down to the wanted one; never fewer than there are."""
    return math.ceil(images * max(1.0, variance / wanted))


def _detectable(df: float, comparison: Comparison) -> float:
    """Return the minimum detectable difference in standard errors."""
    return minimum_detectable(1.0, df, 1 - comparison.level, comparison.power)
