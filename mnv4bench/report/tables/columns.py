"""A table described once: its columns, each with a raw value for CSV and a printed cell for Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from mnv4bench.report import formatting as fmt
from mnv4bench.report.tables.cells import Cell, Table, table

Row = TypeVar("Row")
Part = TypeVar("Part")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of rows of any kind; a column may be only in CSV, or only in print."""

    name: str
    """In CSV; by this name a printed table picks it."""
    value: Callable[[Row], Any] | None = None
    """The unrounded value; None: the column is not in CSV."""
    title: str = ""
    """Printed above the column, unit included."""
    text: Callable[[Row], Cell | str] | None = None
    """The printed cell; None: the column is never printed."""
    align: Literal["l", "r"] = "r"


def words(name: str, title: str, value: Callable[[Row], str]) -> Column[Row]:
    """Return a column of names or words, the same in CSV and in print."""
    return Column(name, value, title, value, "l")


def numbers(
    name: str, title: str, value: Callable[[Row], float | None], decimals: int, sign: bool = False
) -> Column[Row]:
    """Return a column of numbers, rounded in print."""
    return Column(name, value, title, lambda row: fmt.number(value(row), decimals, sign))


def points(
    name: str, title: str, value: Callable[[Row], float | None], decimals: int = 1, sign: bool = False
) -> Column[Row]:
    """Return a column of scores or their differences: on 0–1 in CSV, in points in print."""
    return Column(name, value, title, lambda row: fmt.points(value(row), decimals, sign))


def of_part(columns: Iterable[Column[Part]], part: Callable[[Row], Part | None]) -> list[Column[Row]]:
    """Return the columns of a part of a row; where a row has no such part, None in CSV and a dash in print."""
    return [_of_part(column, part) for column in columns]


def _of_part(column: Column[Part], part: Callable[[Row], Part | None]) -> Column[Row]:
    def through(get: Callable[[Part], Any], otherwise: Any) -> Callable[[Row], Any]:
        return lambda row: otherwise if (content := part(row)) is None else get(content)

    value = None if column.value is None else through(column.value, None)
    text = None if column.text is None else through(column.text, fmt.NONE)
    return Column(column.name, value, column.title, text, column.align)


def raw(columns: Iterable[Column[Row]], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the rows as CSV and the paper's JSON hold them: column → unrounded value."""
    known = [(column.name, column.value) for column in columns if column.value is not None]
    return [{name: value(row) for name, value in known} for row in rows]


def printed(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> Table:
    """Return the rows as they are printed.

    Raises:
        ValueError: a column has no printed form.
    """
    texts = [column.text for column in columns if column.text is not None]
    if len(texts) != len(columns):
        raise ValueError(f"only in CSV: {fmt.join(column.name for column in columns if column.text is None)}")
    return table(
        [column.title for column in columns],
        "".join(column.align for column in columns),
        [[text(row) for text in texts] for row in rows],
    )


def pick(columns: Iterable[Column[Row]], *names: str) -> list[Column[Row]]:
    """Return the columns of these names, in this order."""
    known = {column.name: column for column in columns}
    return [known[name] for name in names]
