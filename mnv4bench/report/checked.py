"""The ledger's summary as the paper prints it: how the published figures fared, and where they differ most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mnv4bench.report import formatting as fmt
from mnv4bench.report.ledger import figure_in_words, summary_table
from mnv4bench.report.tables.cells import printable
from mnv4bench.results.ledger import LedgerSummary, Row
from mnv4bench.results.record import read_record

TELLING = 6
"""Differing figures that the paper quotes."""


def checked(results: Path) -> dict[str, Any] | None:
    """Return what the paper says of tables/ledger.json: a table, sentences, and some figures that differ.

    None where the preset makes no ledger.

    Raises:
        Mnv4benchError: the file is not a ledger's summary.
    """
    path = results / "tables" / "ledger.json"
    if not path.exists():
        return None
    found = read_record(path, LedgerSummary)
    return {"table": printable(summary_table(found)), "prose": prose(found), "telling": telling(found)}


def prose(found: LedgerSummary) -> list[str]:
    """Return how many figures were held against what, and how many of each verdict there are."""
    verdicts = found.verdicts
    return [
        f"{fmt.count(found.figures, 'printed figure')} of {fmt.count(len(found.sources), 'source')} were held "
        "against what can be counted, recomputed or found elsewhere in print.",
        f"{verdicts['reproduced']} came out the same within their last printed digit, {verdicts['differs']} did not; "
        f"{verdicts['not testable here']} need data or trainings that are not here, and "
        f"{verdicts['not comparable']} are times of other devices.",
    ]


def telling(found: LedgerSummary) -> list[str]:
    """Return a sentence for each of the figures that are farthest off, relative to what is printed; one per source."""
    farthest: dict[str, Row] = {}
    for row in found.differing:
        if _distance(row) > (_distance(farthest[row.source]) if row.source in farthest else 0):
            farthest[row.source] = row
    quoted = sorted(farthest.values(), key=lambda row: -_distance(row))[:TELLING]
    return [_sentence(row, found) for row in quoted]


def _distance(row: Row) -> float:
    """Return by which share of itself a printed number is missed; 0 where one of the two is no number, or zero."""
    if isinstance(row.published, str) or isinstance(row.measured, str | None) or row.published == 0:
        return 0.0
    return abs(row.measured / row.published - 1)


def _sentence(row: Row, found: LedgerSummary) -> str:
    where = ", ".join(filter(None, (found.sources[row.source].name, row.place)))
    printed, here = figure_in_words(row)
    return f"{where}, {row.claim}: {printed} printed, {here} {row.basis}."
