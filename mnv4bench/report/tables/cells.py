"""Tables as data: what a cell says, and whether it may be bold; Markdown, LaTeX and the paper print the same cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """Plain text; whoever prints it escapes it."""

    text: str
    strong: bool = False
    """Bold: only for differences whose verdict is better or worse."""
    marks: str = ""
    """Letters of the notes under the table."""


@dataclass(frozen=True)
class Table:
    header: tuple[str, ...]
    align: str
    """One letter per column: l for names and words, r for numbers."""
    rows: tuple[tuple[Cell, ...], ...]


def table(header: Sequence[str], align: str, rows: Iterable[Sequence[Cell | str]]) -> Table:
    """Return a table, plain strings made into cells; a row of another length than the header is a mistake here."""
    made = tuple(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows)
    if {len(header), *map(len, made)} != {len(align)}:
        raise ValueError(
            f"rows of {sorted(set(map(len, made)))} cells under {len(header)} titles, {len(align)} aligned"
        )
    return Table(tuple(header), align, made)


def stacked(tables: Sequence[Table]) -> Table:
    """Return the rows of tables with the same columns, one table below the other, under the titles of the first."""
    first = tables[0]
    if any(len(content.header) != len(first.header) for content in tables):
        raise ValueError(f"tables of {sorted({len(content.header) for content in tables})} columns")
    return Table(first.header, first.align, tuple(row for content in tables for row in content.rows))


def printable(content: Table) -> dict[str, Any]:
    """Return the table as paper/main.typ sets it."""
    return {
        "header": list(content.header),
        "align": list(content.align),
        "rows": [[asdict(cell) for cell in row] for row in content.rows],
    }
