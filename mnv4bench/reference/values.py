"""Whether numbers, verdicts and names of a published file come out again; words and layout do not count.

Floats agree within 1e-12 of their size: sums are ordered otherwise by another processor's vector units, which moves the
last of sixteen digits, and the statistics pass some of them on enlarged. Differences of scores on 0–1 may cancel, so
1e-15 is allowed in any case. Everything else is equal: integers, verdicts, names. A column that was added since does
not matter, one that is gone does.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import read_json

RELATIVE = 1e-12
ABSOLUTE = 1e-15
WORDS = frozenset(("basis", "claim", "error", "place", "reason", "reasons", "reference", "title"))
"""Fields that are not compared where they hold text: sentences, and messages of libraries."""
NUMBER = re.compile(r"[-−+]?\d+(?:[.,]\d+)*")
SEPARATOR = re.compile(r"([\s:;,]+)")


@dataclass(frozen=True)
class Change:
    """A value that came out otherwise."""

    file: str
    place: str
    published: Any
    recomputed: Any

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: {self.published} published, {self.recomputed} recomputed"


def changes(published: Path, recomputed: Path, file: str) -> list[Change]:
    """Return what of a CSV or JSON file, or of a page's tables, is other than published.

    Args:
        published: folder of the published file.
        recomputed: folder of the other.

    Raises:
        Mnv4benchError: the file is missing or damaged, on either side.
    """
    contents = (_content(folder / file) for folder in (published, recomputed))
    return [Change(file, *difference) for difference in _differences(*contents)]


def _content(path: Path) -> Any:
    """Return a JSON file's value, a CSV file's rows, or the numbers in each row of a Markdown page's tables."""
    remedy = "check it out, or rebuild it"
    if path.suffix == ".json":
        return read_json(path, remedy)
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".md":
            return [NUMBER.findall(line) for line in text.splitlines() if line.startswith("|")]
        return list(csv.DictReader(io.StringIO(text), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise Mnv4benchError(f"{path}: cannot be read ({error}); {remedy}") from error


def _differences(a: Any, b: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield place and both values wherever two contents differ in what counts."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a:
            if key not in WORDS or not {type(a[key]), type(b.get(key))} <= {str, NoneType}:
                yield from _differences(a[key], b.get(key), f"{place}, {key}" if place else str(key))
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield f"{place} rows".strip(), len(a), len(b)
        for number, (x, y) in enumerate(zip(a, b, strict=False), start=1):
            yield from _differences(x, y, f"{place} row {number}{_label(x)}".strip())
    elif not _same(a, b):
        yield place, a, b


def _label(row: Any) -> str:
    """Return the first names that a row holds, in brackets."""
    values = row.values() if isinstance(row, dict) else ()
    names = [value for value in values if isinstance(value, str) and value and _number(value) is None]
    return f" ({', '.join(names[:3])})" if names else ""


def _same(a: Any, b: Any) -> bool:
    if a == b:
        return True
    if isinstance(a, str) and isinstance(b, str):
        ours, theirs = SEPARATOR.split(a), SEPARATOR.split(b)
        return len(ours) == len(theirs) and all(map(_close, ours, theirs))
    return _close(a, b)


def _close(a: Any, b: Any) -> bool:
    """Return whether two values are equal, or floats that agree."""
    if a == b:
        return True
    if _is_integer(a) and _is_integer(b):
        return False
    x, y = _number(a), _number(b)
    return x is not None and y is not None and math.isclose(x, y, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.lstrip("+-").isdigit())


def _number(value: Any) -> float | None:
    """Return a number, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
