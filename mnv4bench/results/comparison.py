"""compare.json: every arm against its baseline, with interval, test and verdict."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mnv4bench.results.record import Record

Verdict = Literal["better", "worse", "tiny", "equivalent", "inconclusive", "untestable"]


class SliceDifference(Record):
    """Exploratory: no interval, no test."""

    mean: float
    seeds: dict[int, float]


class Difference(Record):
    """One arm minus its ablation's baseline, AP on 0–1, over the seeds in which both arms are done and scored."""

    ablation: str
    arm: str
    baseline: str
    seeds: dict[int, float]
    """Seed → difference; empty where no seed can be compared, and then every number below is None."""
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    seed_sd: float | None = None
    """Standard deviation of the differences over seeds; None with one seed, whose interval holds image noise only."""
    image_se: float | None = None
    """Standard error from resampling the validation images."""
    df: float | None = None
    agreeing: int = 0
    """Seeds whose difference has the sign of the mean."""
    given_weights: bool = False
    """Whether published weights were judged: interval and test are over images alone, and no seed rule applies."""
    smallest_effect: float
    """Declared by the ablation before anything ran."""
    equivalence_low: float | None = None
    equivalence_high: float | None = None
    """90 % interval: inside ±smallest_effect means equivalent (two one-sided tests)."""
    p: float | None = None
    """Exact two-sided sign-flip test over seeds; for given weights, the permutation test over images. None where the
    smallest p of so many seeds fails Holm's first step."""
    p_holm: float | None = None
    """`p` adjusted for the family of declared comparisons."""
    mde: float | None = None
    """True difference whose 95 % interval would exclude zero with 80 % power, from the seeds and images at hand. None
    with one seed, which tells nothing about the noise of training."""
    verdict: Verdict | None = None
    """None where there is no difference to judge."""
    slices: dict[str, SliceDifference] = Field(default_factory=dict)


class Comparison(Record):
    """compare.json."""

    level: float
    alpha: float
    """Of the tests, over the whole family."""
    family: int
    """Declared comparisons that Holm's adjustment counts, also those whose runs failed; the same two arms, named by
    several ablations, are one."""
    power: float
    """Behind `mde`."""
    bootstrap: int
    bootstrap_seed: int
    images: int
    differences: tuple[Difference, ...]

    def find(self, ablation: str, arm: str) -> Difference | None:
        return next((row for row in self.differences if (row.ablation, row.arm) == (ablation, arm)), None)
