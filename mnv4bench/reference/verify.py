"""Results beside a reference, cell by cell: agree, differ, or not comparable, and why.

A run of the same spec on the same kind of processor must have left the same bytes. Scores and their differences must
lie as close as two trainings of the reference's own spread would; costs must be equal; ratios of time must agree within
their intervals, on the same processor. Tolerances hold for all cells together: an honest rerun has every cell agree in
19 of 20 cases (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.analyse.estimates import MANY
from mnv4bench.reference.cells import Agreement, Cell, cell_of
from mnv4bench.reference.result_set import (
    ArmRow,
    Label,
    ResultSet,
    identical,
    reference_set,
    same_processor,
    trains_alike,
)
from mnv4bench.results.latency import UNJUDGED, LatencyRow
from mnv4bench.results.reference import FOLDER, of_detectors
from mnv4bench.statistics import small_samples as stats

ALPHA = 0.05


@dataclass(frozen=True)
class _Noisy:
    """A cell that is judged by its noise, once it is known how many there are."""

    cell: Cell
    distance: float
    se: float
    """Standard error of the distance, if both measured the same thing."""
    df: float
    least: float = 0.0
    """No tolerance is smaller."""

    def judged(self, family: int) -> Cell:
        tolerance = max(self.least, stats.student_t_quantile(1 - ALPHA / (2 * family), self.df) * self.se)
        verdict: Agreement = "agree" if self.distance <= tolerance else "differ"
        return self.cell.model_copy(update={"tolerance": tolerance, "verdict": verdict})


def verify(here: ResultSet, reference: ResultSet) -> list[Cell]:
    """Return every cell of `here` beside the reference's.

    Raises:
        Mnv4benchError: a table or a record is missing or damaged.
    """
    cells = [cell for label in here.arms for cell in _arm(label, here, reference)]
    family = max(1, sum(isinstance(cell, _Noisy) for cell in cells))
    return [cell.judged(family) if isinstance(cell, _Noisy) else cell for cell in cells]


def closest(results: ResultSet, folder: Path = FOLDER) -> ResultSet:
    """Return the reference that shares most trainings with `results`.

    Among equals one on the same data, then the one with most of their arms, then the one of the same name.

    Raises:
        Mnv4benchError: there is no reference of detectors.
    """
    references = [reference_set(folder / name) for name in of_detectors(folder)]
    if not references:
        raise Mnv4benchError(f"{folder}: no reference to compare with; `mnv4bench publish` makes one")
    trainings = {row.training for row in results.arms.values()}

    def likeness(reference: ResultSet) -> tuple[int, bool, int, bool]:
        shared = trainings & {row.training for row in reference.arms.values()}
        same_data = _data(reference) == _data(results)
        arms = results.arms.keys() & reference.arms.keys()
        return len(shared), same_data, len(arms), reference.folder.name == results.folder.name

    return max(references, key=likeness)


def _data(results: ResultSet) -> str | None:
    """Return the name of the data set; None where nothing was trained."""
    runs = [run for row in results.arms.values() for run in row.runs.values()]
    return results.spec(runs[0])["data"].get("name") if runs else None


def _arm(label: Label, here: ResultSet, reference: ResultSet) -> Iterator[Cell | _Noisy]:
    ours, theirs = here.arms[label], reference.arms.get(label)
    if theirs is None:
        yield cell_of(label, "all", "no_such_arm")
        return
    fields = _differences(here.spec(next(iter(ours.runs.values()))), reference.spec(next(iter(theirs.runs.values()))))
    if ours.training == theirs.training:
        yield from _trained(label, here, reference, ours, theirs)
    elif fields:
        yield cell_of(label, "AP", "other_training", fields=fields)
    else:
        yield cell_of(label, "AP", "other_protocol")
    networks = {key: values for key, values in fields.items() if key.startswith(("model.", "data.name", "data.imgsz"))}
    if networks:
        yield cell_of(label, "cost and time", "other_network", fields=networks)
        return
    yield from _costs(label, ours, theirs)
    yield from _times(label, here, reference)


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return field → both values where two specs differ, seeds apart."""
    a, b = dict(_flat(ours)), dict(_flat(theirs))
    fields = sorted(key for key in {**a, **b} if key != "seed" and a.get(key) != b.get(key))
    return {key: (a.get(key), b.get(key)) for key in fields}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _trained(
    label: Label, here: ResultSet, reference: ResultSet, ours: ArmRow, theirs: ArmRow
) -> Iterator[Cell | _Noisy]:
    """Yield what depends on training: the bytes of the runs, AP, and its difference to the baseline."""
    common = [run for run in ours.runs.values() if run in theirs.runs.values()]
    if common:
        yield _bytes(label, here, reference, common)
    yield _scores(label, "AP", ours.scores, theirs.scores)
    if not ours.is_baseline:
        base, their_base = here.baseline(label[0]), reference.baseline(label[0])
        if base is None or their_base is None or base.training != their_base.training:
            yield cell_of(label, "ΔAP", "other_baseline")
        else:
            yield _scores(label, "ΔAP", _minus(ours.scores, base.scores), _minus(theirs.scores, their_base.scores))


def _minus(scores: Mapping[int, float], base: Mapping[int, float]) -> dict[int, float]:
    return {seed: value - base[seed] for seed, value in scores.items() if seed in base}


def _bytes(label: Label, here: ResultSet, reference: ResultSet, runs: list[str]) -> Cell:
    """Judge how many of the runs that both have are identical, weights and match records."""
    others = [run for run in runs if not identical(here, reference, run)]
    quantity, counts = "identical runs", (len(runs) - len(others), len(runs))
    if not others:
        return cell_of(label, quantity, "same_bytes", *counts, verdict="agree")
    other = others[0]
    environments = here.environment(other), reference.environment(other)
    if trains_alike(*environments):
        return cell_of(label, quantity, "other_bytes", *counts, verdict="differ", run=other)
    return cell_of(label, quantity, "other_environment", *counts, machines=environments)


def _scores(label: Label, quantity: str, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Cell | _Noisy:
    """Judge a mean over seeds: of the seeds that both have, where there are any, else of all."""
    common = sorted(set(ours) & set(theirs))
    a, b = ([scores[seed] for seed in common] or list(scores.values()) for scores in (ours, theirs))
    if not a or not b:
        return cell_of(label, quantity, "unscored_there" if a else "unscored_here")
    means = fmean(a), fmean(b)
    cell = cell_of(label, quantity, "common_seeds" if common else "other_seeds", *means, seeds=common)
    if len(theirs) < 2:
        if a == b:
            return cell.model_copy(update={"verdict": "agree", "tolerance": 0.0})
        return cell.model_copy(update={"reason": "one_seed"})
    se = stdev(theirs.values()) * math.sqrt(1 / len(a) + 1 / len(b))
    return _Noisy(cell, abs(means[0] - means[1]), se, len(theirs) - 1)


def _costs(label: Label, ours: ArmRow, theirs: ArmRow) -> Iterator[Cell]:
    for name, a in ours.costs.items():
        b = theirs.costs[name]
        if a is None or b is None:
            yield cell_of(label, name, "not_counted", a, b)
        else:
            yield cell_of(label, name, "counted", a, b, verdict="agree" if a == b else "differ", tolerance=0.0)


def _times(label: Label, here: ResultSet, reference: ResultSet) -> Iterator[Cell | _Noisy]:
    theirs = reference.times(label)
    for (runtime, threads), row in here.times(label).items():
        other = theirs.get((runtime, threads))
        if row.baseline is not None and other is not None:
            cell = cell_of(label, "time over baseline", "same_processor", row.ratio, other.ratio)
            cell = cell.model_copy(update={"runtime": runtime, "threads": threads})
            yield _time(cell, row, other, here, reference)


def _time(cell: Cell, ours: LatencyRow, theirs: LatencyRow, here: ResultSet, reference: ResultSet) -> Cell | _Noisy:
    if ours.verdict == theirs.verdict == "identical":
        return cell.model_copy(update={"verdict": "agree", "reason": "identical_network"})
    for row in (ours, theirs):
        if row.verdict in UNJUDGED:
            return cell.model_copy(update={"reason": row.verdict})
    a, b = _log_ratio(ours), _log_ratio(theirs)
    if a is None or b is None:
        return cell.model_copy(update={"reason": "no_interval"})
    machines = here.latency.environment, reference.latency.environment
    if not same_processor(*machines):
        return cell.model_copy(update={"reason": "other_machine", "details": {"machines": machines}})
    if not (here.latency.comparable and reference.latency.comparable):
        return cell.model_copy(update={"reason": "busy"})
    return _Noisy(
        cell,
        abs(a.value - b.value),
        math.sqrt(a.variance + b.variance),
        stats.satterthwaite([(a.variance, a.df), (b.variance, b.df)]),
        least=max(row.resolution or 0.0 for row in (ours, theirs)),
    )


@dataclass(frozen=True)
class _LogRatio:
    value: float
    variance: float
    df: float


def _log_ratio(row: LatencyRow) -> _LogRatio | None:
    """Return the logarithm of a ratio of times; None where it has no interval.

    The interval of fewer than five sessions is one of rounds, without what another process would shift. That is in the
    resolution, so there the wider of the two counts.
    """
    if row.ratio is None or row.ratio_low is None or row.ratio_high is None:
        return None
    half, sessions = math.log(row.ratio_high / row.ratio_low) / 2, len(row.ratio_sessions)
    df = sessions - 1
    if sessions < MANY:
        df, half = sessions, max(half, math.log1p(row.resolution or 0.0))
    return _LogRatio(math.log(row.ratio), (half / stats.student_t_quantile(0.975, df)) ** 2, df)
