"""Tables for the terminal: cells in columns, and scores as people read them."""

from __future__ import annotations

from collections.abc import Sequence

ABSENT = "–"


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return lines whose cells stand in columns, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def points(score: float | None) -> str:
    """Return a score of 0–1 in points of 100."""
    return ABSENT if score is None else f"{100 * score:.1f}"
