"""Rows as CSV: complete, unrounded, one fact per field; and read again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mnv4bench.io.errors import FileError


def to_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as CSV (RFC 4180 with \\n), floats at full precision, None as an empty field."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def per_seed(values: dict[int, float]) -> str:
    """Return "0:0.25 1:0.27" as one field."""
    return " ".join(f"{seed}:{value!r}" for seed, value in values.items())


def read_csv(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows of a table that this project wrote.

    Raises:
        FileError: it is missing, damaged, or lacks a column.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))
    except FileNotFoundError as error:
        raise FileError(f"{path}: missing; start again") from error
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{path}: cannot be read ({error}); delete it and start again") from error
    for row in rows:
        if wrong := [name for name in columns if row.get(name) is None]:
            raise FileError(f"{path}: a row lacks {wrong[0]}; delete it and start again")
    return rows
