"""Words of messages that every folder may print."""

from __future__ import annotations


def count(n: int, noun: str) -> str:
    """Return "1 core", "2 cores"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
