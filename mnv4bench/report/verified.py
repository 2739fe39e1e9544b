"""verify.{md,csv}: what `verifying` found, for people and for programs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.reference.sides import Side
from mnv4bench.reference.verify import Cell, counts
from mnv4bench.report import formatting as fmt
from mnv4bench.report.tables import markdown
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.raw import to_csv

TABLE = Path("tables/verify.csv")


def write_verified(cells: Sequence[Cell], results: Path, reference: Side | None) -> None:
    """Write tables/verify.{csv,md} under `results`."""
    write_text(results / TABLE, to_csv([cell.model_dump() for cell in cells], tuple(Cell.model_fields)))
    write_text(results / TABLE.with_suffix(".md"), as_markdown(cells, results, reference))


def sentences(cells: Sequence[Cell], results: Path, reference: Side | None) -> list[str]:
    """Return the outcome in words."""
    if reference is None:
        return [f"There is no reference to hold {results} against."]
    found = counts(cells)
    said = [
        f"{results} beside {reference.folder}: {fmt.count(found['agree'], 'cell')} agree, {found['differ']} differ, "
        f"{found['not comparable']} cannot be compared."
    ]
    trained = [cell for cell in cells if cell.quantity == "bytes"]
    if trained and all(cell.verdict == "agree" for cell in trained):
        said.append("Every run that both have is the same to the byte.")
    absent = set(reference.arms) - {(cell.ablation, cell.arm) for cell in cells}
    if absent:
        said.append(
            f"{fmt.count(len(absent), 'arm')} of the reference {'was' if len(absent) == 1 else 'were'} not run."
        )
    return said


def as_markdown(cells: Sequence[Cell], results: Path, reference: Side | None) -> str:
    """Return what differs first, then everything else."""
    differing = [cell for cell in cells if cell.verdict == "differ"]
    rest = [cell for cell in cells if cell.verdict != "differ"]
    return markdown.document(
        [
            "# Held against the reference",
            markdown.bullets(sentences(cells, results, reference)),
            *(["## What differs", markdown.table(_table(differing))] if differing else []),
            *(["## What agrees, and what cannot be compared", markdown.table(_table(rest))] if rest else []),
        ]
    )


def _table(cells: Sequence[Cell]) -> Table:
    rows = [
        (
            cell.ablation,
            cell.arm,
            cell.quantity,
            _value(cell.here),
            _value(cell.reference),
            fmt.NONE if cell.tolerance is None else f"±{fmt.significant(cell.tolerance, 2)}",
            cell.verdict,
            cell.reason,
        )
        for cell in cells
    ]
    return table(("ablation", "arm", "quantity", "here", "reference", "tolerance", "verdict", "why"), "lllrrrll", rows)


def _value(value: float | str | None) -> str:
    return value if isinstance(value, str) else fmt.number(value, 4)


def differing(results: Path) -> list[str]:
    """Return the cells of a written verify.csv that differ, each in words; none where the file is not there.

    Raises:
        Mnv4benchError: the file is damaged.
    """
    path = results / TABLE
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        return [
            f"{row['ablation']}/{row['arm']}, {row['quantity']}: {row['here']} here, {row['reference']} there"
            for row in rows
            if row["verdict"] == "differ"
        ]
    except KeyError as error:
        raise Mnv4benchError(f"{path}: has no column {error}; delete it and run again") from error
