"""Words of messages that every folder may print."""

from __future__ import annotations


def count(n: int, noun: str, plural: str | None = None) -> str:
    """Return "1 core", "2 cores", "2 boxes"."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"
