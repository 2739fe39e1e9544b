"""The same comparisons in the committed reference results: on other data, from scratch, with other seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4bench.report import accuracy
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import sentences
from mnv4bench.report.results import Results
from mnv4bench.report.tables.cells import Cell, Table, printable, table
from mnv4bench.results import reference
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.dataset import RECORD as DATASET
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.record import read_record
from mnv4bench.statistics.replication import disagreement, shared_verdict

HERE = "here"


@dataclass(frozen=True)
class Published:
    """A reference as these tables show it."""

    name: str
    record: reference.Reference
    dataset: Dataset
    comparison: Comparison

    def find(self, d: Difference) -> Difference | None:
        return self.comparison.find(d.ablation, d.arm)


@dataclass(frozen=True)
class Replication:
    """Results and the references that share comparisons with them."""

    table: Table
    """The shared comparisons, a column each."""
    references: tuple[str, ...]
    """A passage on each."""
    disagreements: tuple[str, ...]
    """A passage on each comparison that differs there in sign or size."""


def replication(results: Results) -> dict[str, Any] | None:
    """Return what the paper prints of the references; None where no other has a comparison in common."""
    shared = replicate(results)
    if shared is None:
        return None
    return {
        "table": printable(shared.table),
        "references": shared.references,
        "disagreements": shared.disagreements,
    }


def replicate(results: Results, folder: Path = reference.FOLDER, here: str = HERE) -> Replication | None:
    """Set results and the other references side by side; None where none has a comparison in common.

    Args:
        here: what the results' own column is called.
    """
    others = published(results, folder)
    if not others:
        return None
    return Replication(
        table=_table(results, others, here),
        references=tuple(_reference(results, other, here) for other in others),
        disagreements=tuple(text for other in others for text in _disagreements(results, other, here)),
    )


def published(results: Results, folder: Path = reference.FOLDER) -> list[Published]:
    """Return every reference with a comparison in common, but those of the preset that `results` are of.

    Raises:
        Mnv4benchError: a reference's files are damaged.
    """
    others = []
    for name in reference.of_detectors(folder):
        record = reference.read_reference(name, folder)
        if record.preset != results.plan.preset_name:
            reference.check_files(record, folder / name)
            dataset = next((folder / name / "data").glob(f"*/{DATASET}"))
            comparison = read_record(folder / name / "compare.json", Comparison)
            others.append(Published(name, record, read_record(dataset, Dataset), comparison))
    return [other for other in others if any(map(other.find, results.comparison.differences))]


def _reference(results: Results, other: Published, here: str) -> str:
    differences = other.comparison.differences
    lines = sentences(
        "text/reference.j2",
        name=other.name,
        title=other.record.title,
        data=other.dataset,
        seeds=max((len(d.seeds) for d in differences), default=0),
        trunk=other.record.trunk,
        comparisons=len(differences),
        common_runs=len(other.record.matches.keys() & results.plan.runs.keys()),
        here=here,
    )
    return " ".join(lines)


def _table(results: Results, others: Sequence[Published], here: str) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for d in _compared(results):
        theirs = [other.find(d) for other in others]
        if any(theirs):
            rows.append((d.ablation, f"{d.arm} − {d.baseline}", _cell(d), *map(_cell, theirs)))
    header = ("ablation", "comparison", here, *(other.name for other in others))
    return table(header, "ll" + "r" * (1 + len(others)), rows)


def _compared(results: Results) -> list[Difference]:
    return [d for d in results.comparison.differences if d.ablation in results.ablations]


def _cell(d: Difference | None) -> Cell:
    if d is None or d.mean is None:
        return Cell(fmt.NONE)
    return Cell(f"{accuracy.interval(d, 2)} {accuracy.verdict(d)}", accuracy.strong(d))


def _disagreements(results: Results, other: Published, here: str) -> Iterator[str]:
    """Yield a passage for each comparison that came out differently there."""
    same_data = other.dataset.digest == results.data.record.digest
    for d in _compared(results):
        there = other.find(d)
        if there is None or (how := disagreement(d, there)) is None:
            continue
        shared = shared_verdict(d, there)
        lines = sentences(
            "text/disagreement.j2",
            comparison=f"{d.ablation}/{d.arm}",
            how=how,
            here=_side(d, here),
            there=_side(there, other.name),
            judged=same_data and d.verdict is not None and there.verdict is not None,
            weaker=shared and accuracy.verdict(d if shared == d.verdict else there),
        )
        yield " ".join(lines)


def _side(d: Difference, name: str) -> dict[str, Any]:
    return {"name": name, "mean": d.mean, "verdict": accuracy.verdict(d)}
