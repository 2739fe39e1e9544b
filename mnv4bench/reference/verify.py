"""Results beside a reference, cell by cell: agree, differ, or not comparable, and why.

A run of the same spec on the same kind of processor must have left the same bytes. Scores and their differences must
lie as close as two trainings of the reference's own spread would; costs must be equal; ratios of time must agree within
their intervals, on the same processor. Tolerances hold for all cells together: an honest rerun has every cell agree in
19 of 20 cases (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.analyse.estimates import MANY
from mnv4bench.reference.sides import ArmRow, Label, Side, alike, machine_in_words, reference_side, same_processor
from mnv4bench.results.latency import LatencyRow
from mnv4bench.results.record import Record
from mnv4bench.results.reference import FOLDER, names
from mnv4bench.statistics import small_samples as stats

ALPHA = 0.05
COSTS = ("params_M", "train_params_M", "flops_G", "conv_flops_G", "activations_M")

Agreement = Literal["agree", "differ", "not comparable"]


class Cell(Record):
    """One row of verify.csv."""

    ablation: str
    arm: str
    quantity: str
    here: float | str | None
    reference: float | str | None
    tolerance: float | None
    """Of |here − reference|; for a ratio of times, of the relative difference. None where there is none."""
    verdict: Agreement
    reason: str


@dataclass(frozen=True)
class _Noisy:
    """A cell that is judged by its noise, once it is known how many there are."""

    cell: Cell
    distance: float
    se: float
    """Standard error of the distance, if the two sides measured the same thing."""
    df: float
    least: float = 0.0
    """No tolerance is smaller."""

    def judged(self, family: int) -> Cell:
        tolerance = max(self.least, stats.student_t_quantile(1 - ALPHA / (2 * family), self.df) * self.se)
        verdict: Agreement = "agree" if self.distance <= tolerance else "differ"
        return self.cell.model_copy(update={"tolerance": tolerance, "verdict": verdict})


def verify(here: Side, reference: Side) -> list[Cell]:
    """Return every cell of `here` beside the reference's.

    Raises:
        Mnv4benchError: a table or a record is missing or damaged.
    """
    found = [cell for label in here.arms for cell in _arm(label, here, reference)]
    family = max(1, sum(isinstance(cell, _Noisy) for cell in found))
    return [cell.judged(family) if isinstance(cell, _Noisy) else cell for cell in found]


def closest(results: Side, folder: Path = FOLDER) -> Side:
    """Return the reference that shares most trainings with `results`; among equals one on the same data or of the name.

    Raises:
        Mnv4benchError: there is no reference.
    """
    found = names(folder)
    if not found:
        raise Mnv4benchError(f"{folder}: no reference to hold results against; `mnv4bench publish` makes one")
    sides = [reference_side(folder / name) for name in found]
    trainings = {row.training for row in results.arms.values()}

    def shared(side: Side) -> tuple[int, bool, bool]:
        both = trainings & {row.training for row in side.arms.values()}
        return len(both), _data(side) == _data(results), side.folder.name == results.folder.name

    return max(sides, key=shared)


def _data(side: Side) -> str | None:
    """Return the name of the data set; None where nothing was trained."""
    runs = [run for row in side.arms.values() for run in row.runs.values()]
    return side.spec(runs[0])["data"]["name"] if runs else None


def _arm(label: Label, here: Side, reference: Side) -> Iterator[Cell | _Noisy]:
    ours, theirs = here.arms[label], reference.arms.get(label)
    if theirs is None:
        yield _open(label, "all", "the reference has no such arm")
        return
    other = _differences(here.spec(next(iter(ours.runs.values()))), reference.spec(next(iter(theirs.runs.values()))))
    if ours.training == theirs.training:
        yield from _trained(label, here, reference, ours, theirs)
    else:
        yield _open(label, "AP", f"other training: {other}" if other else "other versions of the training protocol")
    networks = [field for field in other.split("; ") if field.startswith(("model.", "data.name", "data.imgsz"))]
    if networks:
        yield _open(label, "cost and time", f"other network or images: {'; '.join(networks)}")
        return
    yield from _costs(label, ours, theirs)
    yield from _times(label, here, reference)


def _open(label: Label, quantity: str, reason: str, here: Any = None, reference: Any = None) -> Cell:
    return Cell(
        ablation=label[0],
        arm=label[1],
        quantity=quantity,
        here=here,
        reference=reference,
        tolerance=None,
        verdict="not comparable",
        reason=reason,
    )


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Name the fields in which two specs differ, seeds apart."""
    a, b = dict(_flat(ours)), dict(_flat(theirs))
    fields = [key for key in {**a, **b} if key != "seed" and a.get(key) != b.get(key)]
    return "; ".join(f"{key} {a.get(key)} here, {b.get(key)} there" for key in sorted(fields))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _trained(label: Label, here: Side, reference: Side, ours: ArmRow, theirs: ArmRow) -> Iterator[Cell | _Noisy]:
    """Yield what depends on training: the bytes of the runs, AP, and its difference to the baseline."""
    common = [run for run in ours.runs.values() if run in theirs.runs.values()]
    if common:
        yield _bytes(label, here, reference, common)
    yield _scores(label, "AP", ours.scores, theirs.scores)
    if not ours.is_baseline:
        base, their_base = here.baseline(label[0]), reference.baseline(label[0])
        if base is None or their_base is None or base.training != their_base.training:
            yield _open(label, "ΔAP", "the baseline was trained otherwise")
        else:
            yield _scores(label, "ΔAP", _minus(ours.scores, base.scores), _minus(theirs.scores, their_base.scores))


def _minus(scores: Mapping[int, float], base: Mapping[int, float]) -> dict[int, float]:
    return {seed: value - base[seed] for seed, value in scores.items() if seed in base}


def _bytes(label: Label, here: Side, reference: Side, runs: list[str]) -> Cell:
    same = [run for run in runs if here.sums(run) == reference.sums(run)]
    apart = [run for run in runs if not alike(here.environment(run), reference.environment(run))]
    said = f"{len(same)} of {len(runs)} runs the same to the byte"
    cell = _open(label, "bytes", "", said, f"{len(runs)} runs")
    if len(same) == len(runs):
        return cell.model_copy(update={"verdict": "agree", "reason": "weights and match records"})
    other = next(run for run in runs if run not in same)
    if other in apart:
        machines = [machine_in_words(side.environment(other)) for side in (here, reference)]
        return cell.model_copy(update={"reason": f"{machines[0]} here, {machines[1]} there, or other libraries"})
    return cell.model_copy(
        update={"verdict": "differ", "reason": f"{other}, on the same kind of processor with the same libraries"}
    )


def _scores(label: Label, quantity: str, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Cell | _Noisy:
    """Judge a mean over seeds: of the seeds that both sides have, where there are any, else of all."""
    common = sorted(set(ours) & set(theirs))
    a, b = ([side[seed] for seed in common] or list(side.values()) for side in (ours, theirs))
    if not a or not b:
        return _open(label, quantity, "no seed ended well " + ("here" if not a else "in the reference"))
    which = f"seeds {', '.join(map(str, common))}" if common else "other seeds"
    cell = _open(label, quantity, which, fmean(a), fmean(b))
    if len(theirs) < 2:
        if a == b:
            return cell.model_copy(update={"verdict": "agree", "tolerance": 0.0})
        return cell.model_copy(update={"reason": "one seed in the reference, whose spread is unknown"})
    spread = stdev(theirs.values())
    se = spread * math.sqrt(1 / len(a) + 1 / len(b))
    return _Noisy(cell, abs(fmean(a) - fmean(b)), se, len(theirs) - 1)


def _costs(label: Label, ours: ArmRow, theirs: ArmRow) -> Iterator[Cell]:
    for name in COSTS:
        a, b = ours.number(name), theirs.number(name)
        if a is None or b is None:
            yield _open(label, name, "not counted", a, b)
        else:
            verdict: Agreement = "agree" if a == b else "differ"
            yield _open(label, name, "counted", a, b).model_copy(update={"verdict": verdict, "tolerance": 0.0})


def _times(label: Label, here: Side, reference: Side) -> Iterator[Cell | _Noisy]:
    theirs = reference.times(label)
    for key, row in here.times(label).items():
        quantity = f"time over baseline, {key[0]}, {key[1]} thread{'s' * (key[1] > 1)}"
        if row.baseline is not None and key in theirs:
            yield _time(_open(label, quantity, "", row.ratio, theirs[key].ratio), row, theirs[key], here, reference)


def _time(cell: Cell, ours: LatencyRow, theirs: LatencyRow, here: Side, reference: Side) -> Cell | _Noisy:
    if ours.verdict == theirs.verdict == "identical":
        return cell.model_copy(update={"verdict": "agree", "reason": "the baseline's network, on both sides"})
    for row in (ours, theirs):
        if row.verdict in ("suppressed", "unstable"):
            return cell.model_copy(update={"reason": f"{row.verdict} on one side"})
    a, b = _log_ratio(ours), _log_ratio(theirs)
    if a is None or b is None:
        return cell.model_copy(update={"reason": "no ratio with an interval on one side"})
    environments = here.latency.environment, reference.latency.environment
    if not same_processor(*environments):
        machines = [machine_in_words(e) for e in environments]
        return cell.model_copy(update={"reason": f"another machine: {machines[0]} here, {machines[1]} there"})
    if not (here.latency.comparable and reference.latency.comparable):
        return cell.model_copy(update={"reason": "a machine was busy"})
    return _Noisy(
        cell.model_copy(update={"reason": "the same kind of processor"}),
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


def counts(cells: Iterable[Cell]) -> dict[Agreement, int]:
    found: dict[Agreement, int] = {"agree": 0, "differ": 0, "not comparable": 0}
    for cell in cells:
        found[cell.verdict] += 1
    return found
