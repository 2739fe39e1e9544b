"""Paired differences to the baseline: every arm, every seed, the same resampled images."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mnv4bench import matches, stats
from mnv4bench.errors import DataError
from mnv4bench.files import write_json
from mnv4bench.plan import Arm, Plan
from mnv4bench.records import Record
from mnv4bench.report.runs import SeedResult, seed_results
from mnv4bench.spec import derive_seed

LEVEL = 0.95

_Pairs = dict[int, tuple[SeedResult, SeedResult]]
"""Seed → the arm's result and the baseline's."""


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
    slices: dict[str, SliceDifference] = Field(default_factory=dict)


class Comparison(Record):
    """compare.json."""

    level: float
    bootstrap: int
    bootstrap_seed: int
    images: int
    differences: tuple[Difference, ...]

    def find(self, ablation: str, arm: str) -> Difference | None:
        return next((row for row in self.differences if (row.ablation, row.arm) == (ablation, arm)), None)


class _Resampler:
    """AP of every image resample, each (run, reading) once; all share one draw of weights, so that pairs stay pairs."""

    def __init__(self, results: Path, replicates: int, seed: int) -> None:
        self.results, self.replicates, self.seed = results, replicates, seed
        self.first: tuple[Path, matches.MatchRecords] | None = None
        self._known: dict[tuple[str, str], NDArray[np.float64]] = {}

    @property
    def images(self) -> int:
        return 0 if self.first is None else len(self.first[1].image_ids)

    def ap(self, run: str, read: str) -> NDArray[np.float64]:
        if (run, read) not in self._known:
            path = self.results / "runs" / run / "matches.npz"
            readings = matches.load(path)
            if read not in readings:
                raise DataError(f"{path}: no reading {read!r} (has {', '.join(readings)}); evaluate the run again")
            records = readings[read]
            self.first = self.first or (path, records)
            if not stats.same_split(self.first[1], records):
                raise DataError(f"{path}: other images or objects than {self.first[0]}; evaluate both runs again")
            weights = stats.bootstrap_weights(self.images, self.replicates, self.seed)
            self._known[run, read] = stats.bootstrap_ap(records, weights)
        return self._known[run, read]


def compare(plan: Plan, results: Path) -> None:
    """Write compare.json from the runs' metrics.json and matches.npz.

    Resamples of the images are drawn once and used for every arm and seed (Everingham et al., PASCAL VOC: both methods
    on the same replicate); seed and image variance are combined with Satterthwaite's degrees of freedom.

    Raises:
        Mnv4benchError: a done run lacks a file or a reading, or two runs were scored on different images.
    """
    results = Path(results)
    data = plan.preset.data
    seed = derive_seed("bootstrap", data.name, data.seed, data.val)
    resampler = _Resampler(results, plan.preset.bootstrap, seed)
    rows = [
        _difference(arm, plan.baseline(arm.ablation), results, resampler)
        for arm in plan.arms
        if arm.name != plan.ablations[arm.ablation].baseline
    ]
    comparison = Comparison(
        level=LEVEL,
        bootstrap=plan.preset.bootstrap,
        bootstrap_seed=seed,
        images=resampler.images,
        differences=tuple(rows),
    )
    write_json(results / "compare.json", comparison)


def _difference(arm: Arm, baseline: Arm, results: Path, resampler: _Resampler) -> Difference:
    ours = {result.seed: result for result in seed_results(arm, results)}
    theirs = {result.seed: result for result in seed_results(baseline, results)}
    pairs = {seed: (ours[seed], theirs[seed]) for seed in ours if _comparable(ours[seed]) and _comparable(theirs[seed])}
    deltas = _deltas(pairs)
    if not pairs:
        return Difference(ablation=arm.ablation, arm=arm.name, baseline=baseline.name, seeds={})
    replicates = np.mean(
        [resampler.ap(a.run, arm.read) - resampler.ap(b.run, baseline.read) for a, b in pairs.values()], axis=0
    )
    values = np.array(list(deltas.values()))
    interval = stats.combined_interval(values, replicates, resampler.images, LEVEL)
    return Difference(
        ablation=arm.ablation,
        arm=arm.name,
        baseline=baseline.name,
        seeds=deltas,
        mean=_finite(interval.mean),
        low=_finite(interval.low),
        high=_finite(interval.high),
        seed_sd=_finite(interval.seed_sd),
        image_se=_finite(interval.image_se),
        df=_finite(interval.df),
        agreeing=int(np.sum(np.sign(values) == np.sign(interval.mean))),
        slices=_slices(pairs),
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _comparable(result: SeedResult) -> bool:
    return result.score("AP") is not None


def _deltas(pairs: _Pairs, part: str | None = None) -> dict[int, float]:
    scores = {seed: (ours.score("AP", part), theirs.score("AP", part)) for seed, (ours, theirs) in pairs.items()}
    return {seed: a - b for seed, (a, b) in scores.items() if a is not None and b is not None}


def _slices(pairs: _Pairs) -> dict[str, SliceDifference]:
    names = dict.fromkeys(name for ours, _ in pairs.values() if ours.reading for name in ours.reading.slices)
    deltas = {name: _deltas(pairs, name) for name in names}
    return {name: SliceDifference(mean=fmean(found.values()), seeds=found) for name, found in deltas.items() if found}
