"""Rows as CSV: complete, unrounded, one fact per field."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any


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
