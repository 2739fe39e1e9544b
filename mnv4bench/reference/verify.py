"""Results beside a reference, cell by cell: agree, differ, or not comparable, and why.

A run of the same spec on the same kind of processor must have left the same bytes. Scores and their differences must
lie as close as two trainings of the reference's own spread would; costs must be equal; ratios of time must agree within
their intervals, on the same processor. Tolerances hold for all cells together (noise.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.analyse.estimates import MANY
from mnv4bench.reference.alike import same_processor, trains_alike
from mnv4bench.reference.cells import Cell, Label, cell_of, differences
from mnv4bench.reference.classifiers import classifier_cells
from mnv4bench.reference.noise import Noisy, judged, score_cells, shared_runs
from mnv4bench.reference.result_set import (
    ArmRow,
    ResultSet,
    identical,
    reference_set,
)
from mnv4bench.results.latency import UNJUDGED, LatencyRow
from mnv4bench.results.reference import FOLDER, names
from mnv4bench.statistics import small_samples as stats


def verify(here: ResultSet, reference: ResultSet) -> list[Cell]:
    """Return every cell of `here` beside the reference's.

    Raises:
        Mnv4benchError: a table or a record is missing or damaged.
    """
    detectors = [cell for label in here.arms for cell in _arm(label, here, reference)]
    return judged([*detectors, *classifier_cells(here.classifiers, reference.classifiers)])


def closest(results: ResultSet, folder: Path = FOLDER) -> ResultSet:
    """Return the reference that shares most runs with `results`.

    Among equals one on the same data, then the one with most of their arms, then the one of the same name.

    Raises:
        Mnv4benchError: there is no reference.
    """
    references = [reference_set(folder / name) for name in names(folder)]
    if not references:
        raise Mnv4benchError(f"{folder}: no reference to compare with; `mnv4bench publish` makes one")

    def likeness(reference: ResultSet) -> tuple[int, bool, int, bool]:
        shared = results.runs & reference.runs
        same_data = _data(reference) == _data(results)
        arms = results.labels & reference.labels
        return len(shared), same_data, len(arms), reference.folder.name == results.folder.name

    return max(references, key=likeness)


def _data(results: ResultSet) -> str | None:
    """Return the name of the data set; None where nothing was trained."""
    runs = [run for row in results.arms.values() for run in row.runs.values()]
    return results.spec(runs[0])["data"].get("name") if runs else None


def _arm(label: Label, here: ResultSet, reference: ResultSet) -> Iterator[Cell | Noisy]:
    ours, theirs = here.arms[label], reference.arms.get(label)
    if theirs is None:
        yield cell_of(label, "all", "no_such_arm")
        return
    fields = differences(here.spec(next(iter(ours.runs.values()))), reference.spec(next(iter(theirs.runs.values()))))
    if shared := shared_runs(ours, theirs):
        yield _bytes(label, here, reference, shared)
        yield from score_cells(label, "AP", here.arms, reference.arms)
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


def _costs(label: Label, ours: ArmRow, theirs: ArmRow) -> Iterator[Cell]:
    for name, a in ours.costs.items():
        b = theirs.costs[name]
        if a is None or b is None:
            yield cell_of(label, name, "not_counted", a, b)
        else:
            yield cell_of(label, name, "counted", a, b, verdict="agree" if a == b else "differ", tolerance=0.0)


def _times(label: Label, here: ResultSet, reference: ResultSet) -> Iterator[Cell | Noisy]:
    theirs = reference.times(label)
    for (runtime, threads), row in here.times(label).items():
        other = theirs.get((runtime, threads))
        if row.baseline is not None and other is not None:
            cell = cell_of(label, "time over baseline", "same_processor", row.ratio, other.ratio)
            cell = cell.model_copy(update={"runtime": runtime, "threads": threads})
            yield _time(cell, row, other, here, reference)


def _time(cell: Cell, ours: LatencyRow, theirs: LatencyRow, here: ResultSet, reference: ResultSet) -> Cell | Noisy:
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
    return Noisy(
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
