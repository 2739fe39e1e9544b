"""A folder's classifiers beside a reference's, cell by cell, by the rules of verify.py.

A network that was searched is itself a result: what it costs is compared with its bytes, and not by itself.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.reference.alike import trains_alike
from mnv4bench.reference.cells import Cell, Label, cell_of, differences
from mnv4bench.reference.noise import Noisy, minus, scores_cell
from mnv4bench.results.classifier import FOLDER, RESULT, ClassifierRecord
from mnv4bench.results.record import read_record

TABLE = Path("tables/classifiers.csv")


@dataclass(frozen=True)
class ClassifierArm:
    """What each seed of an arm came to."""

    is_baseline: bool
    records: Mapping[int, ClassifierRecord]

    @property
    def first(self) -> ClassifierRecord:
        return next(iter(self.records.values()))

    @property
    def training(self) -> str:
        return self.first.run.name

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
    return {label: ClassifierArm(is_baseline, _records(folder, runs)) for label, (is_baseline, runs) in named.items()}


def _records(folder: Path, runs: list[str]) -> dict[int, ClassifierRecord]:
    records = [read_record(folder / FOLDER / run / RESULT, ClassifierRecord) for run in runs]
    return {record.run.seed: record for record in records}


def classifier_cells(
    here: Mapping[Label, ClassifierArm], reference: Mapping[Label, ClassifierArm]
) -> Iterator[Cell | Noisy]:
    """Yield what is to be said of every arm that is here."""
    for label, ours in here.items():
        theirs = reference.get(label)
        if theirs is None:
            yield cell_of(label, "all", "no_such_arm")
        elif ours.training == theirs.training:
            yield from _trained(label, here, reference)
        elif fields := differences(ours.first.run.model_dump(mode="json"), theirs.first.run.model_dump(mode="json")):
            yield cell_of(label, "top-1", "other_training", fields=fields)
        else:
            yield cell_of(label, "top-1", "other_protocol")


def _trained(
    label: Label, here: Mapping[Label, ClassifierArm], reference: Mapping[Label, ClassifierArm]
) -> Iterator[Cell | Noisy]:
    ours, theirs = here[label], reference[label]
    if pairs := [(record, theirs.records[seed]) for seed, record in ours.records.items() if seed in theirs.records]:
        yield _identical(label, pairs)
    yield scores_cell(label, "top-1", ours.scores, theirs.scores)
    if ours.is_baseline:
        return
    base, their_base = _baseline(here, label[0]), _baseline(reference, label[0])
    if base is None or their_base is None or base.training != their_base.training:
        yield cell_of(label, "Δtop-1", "other_baseline")
    else:
        yield scores_cell(label, "Δtop-1", minus(ours.scores, base.scores), minus(theirs.scores, their_base.scores))


def _identical(label: Label, pairs: list[tuple[ClassifierRecord, ClassifierRecord]]) -> Cell:
    """Judge how many records are identical: networks, what was searched, and which objects were classified rightly."""
    others = [pair for pair in pairs if _results(pair[0]) != _results(pair[1])]
    quantity, counts = "identical runs", (len(pairs) - len(others), len(pairs))
    if not others:
        return cell_of(label, quantity, "same_answers", *counts, verdict="agree")
    machines = others[0][0].environment, others[0][1].environment
    if trains_alike(*machines):
        return cell_of(label, quantity, "other_bytes", *counts, verdict="differ", run=others[0][0].run.name)
    return cell_of(label, quantity, "other_environment", *counts, machines=machines)


def _results(record: ClassifierRecord) -> ClassifierRecord:
    """Return the record without where it was made."""
    return record.model_copy(update={"environment": None})


def _baseline(arms: Mapping[Label, ClassifierArm], ablation: str) -> ClassifierArm | None:
    return next((arm for (name, _), arm in arms.items() if name == ablation and arm.is_baseline), None)
