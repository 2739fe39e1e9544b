"""Words of messages that every folder may print."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 5
"""Names that one line lists; the rest are counted."""


def count(n: int, noun: str, plural: str | None = None) -> str:
    """Return "1 core", "2 cores", "2 boxes"."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def listed(what: str, names: Sequence[str], remedy: str = "") -> str:
    """Return "what: count (names)" and what the user may do about it; of many names the first, the rest are counted."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{what}: {len(names)} ({', '.join(names[:NAMED])}{more}){f'; {remedy}' if remedy else ''}"


def first(names: Sequence[str]) -> str:
    """Return "a, b, c"; of many names the first, and that there are more."""
    return ", ".join([*names[:NAMED], *(["…"] if len(names) > NAMED else [])])
