"""A folder's classifiers beside a reference's, cell by cell, by the rules of verify.py.

A network that was searched is itself a result: what it costs is compared with its bytes, and not by itself.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.reference.alike import trains_alike
from mnv4bench.reference.cells import Cell, Label, cell_of, differences
from mnv4bench.reference.noise import Noisy, score_cells, shared_runs
from mnv4bench.results.classifier import FOLDER, RESULT, ClassifierRecord
from mnv4bench.results.record import read_record

TABLE = Path("tables/classifiers.csv")


@dataclass(frozen=True)
class ClassifierArm:
    """What each seed of an arm came to."""

    is_baseline: bool
    runs: Mapping[int, str]
    """Seed → run."""
    records: Mapping[int, ClassifierRecord]

    @property
    def scores(self) -> dict[int, float]:
        """Return seed → top-1."""
        return {seed: record.accuracy for seed, record in self.records.items()}


def read_arms(folder: Path) -> dict[Label, ClassifierArm]:
    """Return the arms of classifiers.csv with their records.

    Raises:
        Mnv4benchError: the table or a record is missing or damaged.
    """
    path = folder / TABLE
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream, strict=True))
        named = {(row["ablation"], row["arm"]): (row["baseline"] == "1", row["runs"].split()) for row in rows}
    except (OSError, KeyError, ValueError, AttributeError, csv.Error) as error:
        raise Mnv4benchError(f"{path}: not this version's table ({error!r}); delete it and start again") from error
    return {label: _arm(folder, is_baseline, runs) for label, (is_baseline, runs) in named.items()}


def _arm(folder: Path, is_baseline: bool, runs: list[str]) -> ClassifierArm:
    records = {run: read_record(folder / FOLDER / run / RESULT, ClassifierRecord) for run in runs}
    by_seed = {record.run.seed: run for run, record in records.items()}
    return ClassifierArm(is_baseline, by_seed, {seed: records[run] for seed, run in by_seed.items()})


def classifier_cells(
    here: Mapping[Label, ClassifierArm], reference: Mapping[Label, ClassifierArm]
) -> Iterator[Cell | Noisy]:
    """Yield what is to be said of every arm that is here."""
    for label, ours in here.items():
        theirs = reference.get(label)
        if theirs is None:
            yield cell_of(label, "all", "no_such_arm")
        elif shared := shared_runs(ours, theirs):
            yield _identical(label, ours, theirs, shared)
            yield from score_cells(label, "top-1", here, reference)
        elif fields := differences(_spec(ours), _spec(theirs)):
            yield cell_of(label, "top-1", "other_training", fields=fields)
        else:
            yield cell_of(label, "top-1", "other_protocol")


def _spec(arm: ClassifierArm) -> dict[str, Any]:
    return next(iter(arm.records.values())).run.model_dump(mode="json")


def _identical(label: Label, ours: ClassifierArm, theirs: ClassifierArm, shared: list[str]) -> Cell:
    """Judge how many records are identical: networks, what was searched, and which objects were classified rightly."""
    seeds = [seed for seed, run in ours.runs.items() if run in shared]
    pairs = [(ours.records[seed], theirs.records[seed]) for seed in seeds]
    others = [pair for pair in pairs if _results(pair[0]) != _results(pair[1])]
    quantity, counts = "identical runs", (len(pairs) - len(others), len(pairs))
    if not others:
        return cell_of(label, quantity, "same_answers", *counts, verdict="agree")
    machines = others[0][0].environment, others[0][1].environment
    if trains_alike(*machines):
        return cell_of(label, quantity, "other_bytes", *counts, verdict="differ", run=ours.runs[others[0][0].run.seed])
    return cell_of(label, quantity, "other_environment", *counts, machines=machines)


def _results(record: ClassifierRecord) -> ClassifierRecord:
    """Return the record without where it was made."""
    return record.model_copy(update={"environment": None})
