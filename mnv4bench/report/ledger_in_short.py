"""The ledger's summary as README and paper print it: how the published figures fared, and where they differ most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mnv4bench.report.ledger import figure_in_words, summary_table
from mnv4bench.report.rendering import sentences
from mnv4bench.report.tables.cells import printable
from mnv4bench.results.ledger import LedgerSummary, Row
from mnv4bench.results.record import read_record

QUOTED = 6
"""Differing figures that the paper quotes."""


def ledger_in_short(results: Path) -> dict[str, Any] | None:
    """Return what the paper prints of tables/ledger.json: a table, sentences, and some figures that differ.

    None where the preset makes no ledger.

    Raises:
        Mnv4benchError: the file is not a ledger's summary.
    """
    path = results / "tables" / "ledger.json"
    if not path.exists():
        return None
    summary = read_record(path, LedgerSummary)
    return {"table": printable(summary_table(summary)), "text": in_short(summary), "farthest": farthest(summary)}


def in_short(summary: LedgerSummary) -> list[str]:
    """Return how many figures were checked, and how many of each verdict there are."""
    return sentences("text/ledger_in_short.j2", summary=summary, verdicts=summary.verdicts)


def farthest(summary: LedgerSummary) -> list[str]:
    """Return a sentence for each of the figures that are farthest off, relative to what is printed; one per source."""
    by_source: dict[str, Row] = {}
    for row in summary.differing:
        if _distance(row) > (_distance(by_source[row.source]) if row.source in by_source else 0):
            by_source[row.source] = row
    rows = sorted(by_source.values(), key=lambda row: -_distance(row))[:QUOTED]
    quoted = [(row, summary.sources[row.source], *figure_in_words(row)) for row in rows]
    return sentences("text/ledger_farthest.j2", quoted=quoted)


def _distance(row: Row) -> float:
    """Return by which share of itself a printed number is missed; 0 where one of the two is no number, or zero."""
    if isinstance(row.published, str) or isinstance(row.measured, str | None) or row.published == 0:
        return 0.0
    return abs(row.measured / row.published - 1)
