"""Paired differences to the baseline and their verdicts: every arm, every seed, the same resampled images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from mnv4bench.io.errors import DataError
from mnv4bench.io.files import write_json
from mnv4bench.machine.cores import usable_cores
from mnv4bench.results import matches
from mnv4bench.results.comparison import Comparison, Difference, SliceDifference, Verdict
from mnv4bench.results.runs import SeedResult, seed_results
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import derive_seed
from mnv4bench.statistics import bootstrap as resampling
from mnv4bench.statistics import small_samples as stats
from mnv4bench.statistics.gates import gate
from mnv4bench.statistics.permutation import exchange_p
from mnv4bench.statistics.replication import by_trunk
from mnv4bench.statistics.verdict import Evidence, judge

LEVEL = 0.95
ALPHA = 0.05
POWER = 0.8

_Pairs = dict[int, tuple[SeedResult, SeedResult]]
"""Seed → the arm's result and the baseline's."""
Hypothesis = frozenset[tuple[object, ...]]
"""Two arms whose equality is tested: (read, run of each seed) of an arm and of its baseline, in no order."""


class _Resampler:
    """AP of every image resample, each (run, reading) once; all share one draw of weights, so that pairs stay pairs."""

    def __init__(self, results: Path, replicates: int, seed: int) -> None:
        self.results, self.replicates, self.seed = results, replicates, seed
        self.first: tuple[Path, matches.MatchRecords] | None = None
        self._known: dict[tuple[str, str], NDArray[np.float64]] = {}

    @property
    def images(self) -> int:
        return 0 if self.first is None else len(self.first[1].image_ids)

    @property
    def objects(self) -> list[int]:
        """Validation objects of each class, in the classes' order."""
        assert self.first is not None, "no run has been read"
        counts: list[int] = self.first[1].objects[0].sum(axis=0).tolist()
        return counts

    def ap(self, run: str, read: str) -> NDArray[np.float64]:
        if (run, read) not in self._known:
            records = self.records(run, read)
            parts = np.array_split(self._weights, usable_cores())
            # NumPy lets go of the interpreter in its long loops, so threads are enough.
            with ThreadPoolExecutor(len(parts)) as pool:
                parts_ap = pool.map(lambda weights: resampling.bootstrap_ap(records, weights), parts)
                self._known[run, read] = np.concatenate(list(parts_ap))
        return self._known[run, read]

    @cached_property
    def _weights(self) -> NDArray[np.integer]:
        return resampling.bootstrap_weights(self.images, self.replicates, self.seed)

    def records(self, run: str, read: str) -> matches.MatchRecords:
        path = self.results / "runs" / run / "matches.npz"
        readings = matches.load(path)
        again = matches.AGAIN.format(folder=path.parent)
        if read not in readings:
            raise DataError(f"{path}: no reading {read!r} (has {', '.join(readings)}); {again}")
        records = readings[read]
        self.first = self.first or (path, records)
        if not resampling.same_split(self.first[1], records):
            raise DataError(f"{path}: other images or objects than {self.first[0]}; {again}, or that one")
        return records


def compare(plan: Plan, results: Path) -> None:
    """Write compare.json from the runs' metrics.json and matches.npz.

    Resamples of the images are drawn once and used for every arm and seed (Everingham et al., PASCAL VOC: both methods
    on the same replicate); seed and image variance are combined with Satterthwaite's degrees of freedom. Every
    comparison of an arm with its baseline belongs to one family, over which Holm's adjustment is made.

    Raises:
        Mnv4benchError: a done run lacks a file or a reading, or two runs were scored on different data.
    """
    results = Path(results)
    data = plan.preset.data
    seed = derive_seed("bootstrap", data.name, data.seed, data.val)
    resampler = _Resampler(results, plan.preset.bootstrap, seed)
    scored = {arm.label: seed_results(arm, results) for arm in plan.arms}
    _check_data(results, [result for seeds in scored.values() for result in seeds])
    arms = [arm for arm in plan.arms if arm.name != plan.ablations[arm.ablation].baseline]
    rows = [_difference(arm, plan, scored, resampler) for arm in arms]
    given = [_exchange_p(arm, plan, row, resampler) for arm, row in zip(arms, rows, strict=True)]
    hypotheses = [_hypothesis(arm, plan.baseline(arm.ablation)) for arm in arms]
    family = len(set(hypotheses))
    comparison = Comparison(
        level=LEVEL,
        alpha=ALPHA,
        family=family,
        power=POWER,
        bootstrap=plan.preset.bootstrap,
        bootstrap_seed=seed,
        images=resampler.images,
        differences=tuple(judged(rows, given, hypotheses, family)),
    )
    write_json(results / "compare.json", comparison)


def _hypothesis(arm: Arm, baseline: Arm) -> Hypothesis:
    # The test is two-sided, so a pair and its mirror image are one hypothesis, and charged once.
    return frozenset((side.read, *sorted(side.runs.items())) for side in (arm, baseline))


def _check_data(results: Path, scored: Iterable[SeedResult]) -> None:
    """Refuse runs of several data sets: their differences would not be the arms' effects."""
    runs: dict[str | None, str] = {}
    for result in scored:
        if result.state == "done":
            runs.setdefault(result.data, result.run)
    if len(runs) > 1:
        (data, run), (other_data, other), *_ = runs.items()
        raise DataError(
            f"{results / 'runs'}: data_digest: {run} was scored on data {data or 'unknown'}, {other} on "
            f"{other_data or 'unknown'}; delete the metrics.json of both and start again, which trains anew what was "
            "trained on other data than are prepared"
        )


def _difference(arm: Arm, plan: Plan, scored: Mapping[str, Sequence[SeedResult]], resampler: _Resampler) -> Difference:
    """Return everything but the test and the verdict, which depend on the other rows."""
    baseline = plan.baseline(arm.ablation)
    ours = {result.seed: result for result in scored[arm.label]}
    theirs = {result.seed: result for result in scored[baseline.label]}
    pairs = {seed: (ours[seed], theirs[seed]) for seed in ours if _comparable(ours[seed]) and _comparable(theirs[seed])}
    empty = Difference(
        ablation=arm.ablation,
        arm=arm.name,
        baseline=baseline.name,
        seeds={},
        given_weights=arm.published,
        smallest_effect=plan.ablations[arm.ablation].smallest_effect,
    )
    if not pairs:
        return empty
    replicates = np.mean(
        [resampler.ap(a.run, arm.read) - resampler.ap(b.run, baseline.read) for a, b in pairs.values()], axis=0
    )
    deltas = _deltas(pairs)
    judged = None if arm.published else gate(plan, resampler.results, arm, list(pairs.values()), resampler.objects)
    found = numbers(np.array(list(deltas.values())), replicates, resampler.images, arm.published)
    trunks = {block: fmean(values) for block, values in by_trunk(plan, arm, deltas).items()}
    parts = {"slices": _slices(pairs), "gate": judged, "trunks": trunks}
    return empty.model_copy(update={"seeds": deltas, **found, **parts})


def _exchange_p(arm: Arm, plan: Plan, row: Difference, resampler: _Resampler) -> float | None:
    """Return the p of the permutation test over images; None for networks that were trained, or not scored."""
    if not row.given_weights or not row.seeds:
        return None
    baseline = plan.baseline(arm.ablation)
    ours, theirs = (resampler.records(next(iter(side.runs.values())), side.read) for side in (arm, baseline))
    return exchange_p(ours, theirs, resampler.replicates, derive_seed("exchange", resampler.seed))


def numbers(
    values: NDArray[np.float64], replicates: NDArray[np.float64], images: int, given_weights: bool
) -> dict[str, float | None]:
    """Return the fields of a Difference that follow from its (seeds,) differences and (replicates,) resamples."""
    interval = stats.combined_interval(values, replicates, images, LEVEL)
    narrow = stats.combined_interval(values, replicates, images, 1 - 2 * ALPHA)
    known = given_weights or interval.seed_sd is not None
    return {
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "seed_sd": interval.seed_sd,
        "image_se": interval.image_se,
        "df": interval.df,
        "agreeing": int(np.sum(np.sign(values) == np.sign(interval.mean))),
        "equivalence_low": narrow.low,
        "equivalence_high": narrow.high,
        "mde": stats.minimum_detectable(interval.se, interval.df, 1 - LEVEL, POWER) if known else None,
    }


def judged(
    rows: Sequence[Difference], given: Sequence[float | None], hypotheses: Sequence[Hypothesis], family: int
) -> Iterator[Difference]:
    """Yield the rows with p, p_holm and verdict.

    Args:
        given: p over images, of rows that judge given weights.
    """
    tested = {
        hypothesis: stats.sign_flip_p(list(row.seeds.values())) if p is None else p
        for row, p, hypothesis in zip(rows, given, hypotheses, strict=True)
        if p is not None or (row.seeds and stats.is_testable(len(row.seeds), family, ALPHA))
    }
    adjusted = dict(zip(tested, stats.holm(list(tested.values()), family), strict=True))
    for row, hypothesis in zip(rows, hypotheses, strict=True):
        p, p_holm = tested.get(hypothesis), adjusted.get(hypothesis)
        yield row.model_copy(update={"p": p, "p_holm": p_holm, "verdict": _verdict(row, p_holm)})


def _verdict(row: Difference, p_holm: float | None) -> Verdict | None:
    if row.mean is None or row.low is None or row.high is None:
        return None
    if row.equivalence_low is None or row.equivalence_high is None:
        return None
    equivalence = (row.equivalence_low, row.equivalence_high)
    passed = row.gate is None or row.gate.passed
    evidence = Evidence(len(row.seeds), row.mean, (row.low, row.high), equivalence, p_holm, row.given_weights, passed)
    return judge(evidence, row.smallest_effect, ALPHA)


def _comparable(result: SeedResult) -> bool:
    return result.score("AP") is not None


def _deltas(pairs: _Pairs, part: str | None = None) -> dict[int, float]:
    scores = {seed: (ours.score("AP", part), theirs.score("AP", part)) for seed, (ours, theirs) in pairs.items()}
    return {seed: a - b for seed, (a, b) in scores.items() if a is not None and b is not None}


def _slices(pairs: _Pairs) -> dict[str, SliceDifference]:
    names = dict.fromkeys(name for ours, _ in pairs.values() if ours.reading for name in ours.reading.slices)
    deltas = {name: _deltas(pairs, name) for name in names}
    return {
        name: SliceDifference(mean=fmean(values.values()), seeds=values) for name, values in deltas.items() if values
    }
