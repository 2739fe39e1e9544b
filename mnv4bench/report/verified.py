"""verify.{md,csv}: the cells of reference/verify.py, for people and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_text
from mnv4bench.reference.cells import Agreement, Cell, counts
from mnv4bench.reference.result_set import ResultSet
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import page, render, sentences
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.csv import to_csv

TABLE = Path("tables/verify.csv")
SCORES = ("AP", "ΔAP", "top-1", "Δtop-1")
"""Quantities that are printed in points; verify.csv has them on 0–1."""
COLUMNS = tuple(name for name in Cell.model_fields if name != "details")


def write_verified(cells: Sequence[Cell], results: Path, reference: ResultSet | None) -> None:
    """Write tables/verify.{csv,md} under `results`."""
    rows = [{**cell.model_dump(include=set(COLUMNS)), "reason": reason(cell)} for cell in cells]
    write_text(results / TABLE, to_csv(rows, COLUMNS))
    write_text(results / TABLE.with_suffix(".md"), as_markdown(cells, results, reference))


def outcome(cells: Sequence[Cell], results: Path, reference: ResultSet | None) -> list[str]:
    """Return how many cells agree, whether runs are identical, and how many arms were not run; a sentence each."""
    runs = [cell for cell in cells if cell.quantity == "identical runs"]
    alike = sorted({cell.reason for cell in runs}) if all(cell.verdict == "agree" for cell in runs) else []
    absent = reference.labels - {(cell.ablation, cell.arm) for cell in cells} if reference else set()
    return sentences(
        "text/verify_outcome.j2",
        results=results,
        reference=reference.folder if reference else None,
        counts=counts(cells),
        alike=alike,
        absent=len(absent),
    )


def reason(cell: Cell) -> str:
    """Return why a cell was judged so, or not, as a clause."""
    return render("text/verify_reason.j2", reason=cell.reason, details=cell.details)


def as_markdown(cells: Sequence[Cell], results: Path, reference: ResultSet | None) -> str:
    """Return what differs first, then everything else."""
    return page(
        "verify.md.j2",
        outcome=outcome(cells, results, reference),
        differing=_table([cell for cell in cells if cell.verdict == "differ"]),
        others=_table([cell for cell in cells if cell.verdict != "differ"]),
    )


def _table(cells: Sequence[Cell]) -> Table:
    rows = [
        (
            cell.ablation,
            cell.arm,
            _quantity(cell.quantity, cell.runtime, cell.threads),
            _value(cell.quantity, cell.here),
            _value(cell.quantity, cell.reference),
            _tolerance(cell),
            cell.verdict,
            reason(cell),
        )
        for cell in cells
    ]
    return table(("ablation", "arm", "quantity", "here", "reference", "tolerance", "verdict", "why"), "lllrrrll", rows)


def _quantity(name: str, runtime: str | None, threads: int | str | None) -> str:
    shown = f"{name} (points)" if name in SCORES else name
    return ", ".join([shown, *([runtime, fmt.count(int(threads), "thread")] if runtime and threads else [])])


def _value(quantity: str, value: float | None) -> str:
    if quantity in SCORES:
        return fmt.points(value, 2)
    return str(int(value)) if value is not None and value == int(value) else fmt.number(value, 4)


def _tolerance(cell: Cell) -> str:
    if cell.tolerance is None:
        return fmt.NONE
    return f"±{fmt.significant(fmt.in_points(cell.tolerance) if cell.quantity in SCORES else cell.tolerance, 2)}"


def differing(results: Path) -> list[str]:
    """Return the cells of a written verify.csv that differ, each in short; none where the file is not there.

    Raises:
        Mnv4benchError: the file is damaged.
    """
    path = results / TABLE
    if not path.exists():
        return []
    try:
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
    except (ValueError, csv.Error) as error:
        raise Mnv4benchError(f"{path}: cannot be read ({error}); delete it and start again") from error
    cells = [dict(zip(COLUMNS, row, strict=False)) for row in rows]
    if tuple(header) != COLUMNS or any(cell.get("verdict") not in get_args(Agreement) for cell in cells):
        raise Mnv4benchError(f"{path}: a column or a verdict is not this version's; delete it and start again")
    try:
        return [_in_short(cell) for cell in cells if cell["verdict"] == "differ"]
    except ValueError as error:
        raise Mnv4benchError(f"{path}: {error}; delete it and start again") from error


def _in_short(cell: Mapping[str, str]) -> str:
    quantity = _quantity(cell["quantity"], cell["runtime"], cell["threads"])
    here, reference = (float(cell[side]) for side in ("here", "reference"))
    if cell["quantity"] in SCORES:
        here, reference = fmt.in_points(here), fmt.in_points(reference)
    values = f"{here:.10g} here, {reference:.10g} in the reference"
    return f"{cell['ablation']}/{cell['arm']}, {quantity}: {values}"
