"""compare.json: every arm against its baseline, with interval, test and verdict."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mnv4bench.results.record import Record

Verdict = Literal["better", "worse", "tiny", "equivalent", "inconclusive", "untestable", "under-trained"]


class WeakClass(Record):
    """A class that an arm has hardly learned."""

    arm: str
    name: str
    AP: float
    """Mean over seeds, 0–1."""
    objects: int
    """In the validation images."""


class Gate(Record):
    """Whether the networks of a comparison have learned enough for a verdict, and what that rests on."""

    passed: bool
    from_trunk: bool
    """Whether the arms started from a trunk; else from random weights."""
    trunk_ap: float | None
    """Mean AP of the trunks that the seeds started from; for arms from random weights, that of the best trunk on the
    same data. None where there is none that is read as the baseline is."""
    baseline_ap: float
    """Mean over the seeds that are compared."""
    least_share: float
    """Of `trunk_ap`, that the baseline has to reach."""
    least_class_ap: float
    weak: tuple[WeakClass, ...] = ()
    """Classes below `least_class_ap`, of the arm and of the baseline."""


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
    gate: Gate | None = None
    """None where there is no difference, and for given weights."""
    trunks: dict[str, float] = Field(default_factory=dict)
    """Trunk → mean difference over the seeds that started from it, where there are several."""
    verdict: Verdict | None = None
    """None where there is no difference to judge."""
    slices: dict[str, SliceDifference] = Field(default_factory=dict)

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval, without zero in it; one that ends on zero contains it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


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
