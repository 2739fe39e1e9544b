"""tables/ledger.json: published figures beside what they come to here."""

from __future__ import annotations

from typing import Literal, get_args

from mnv4bench.results.record import Record

Outcome = Literal["reproduced", "differs", "unmatched", "not testable here", "not comparable"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
CHECKED: tuple[Outcome, ...] = ("reproduced", "differs", "unmatched")
"""Outcomes of a check; “unmatched” where the two figures are of different configurations, whether they agree or not."""


class Row(Record):
    """One published figure."""

    id: str
    source: str
    """Key of `LedgerSummary.sources`."""
    place: str
    claim: str
    published: float | str
    measured: float | str | None
    """In the unit of `published`; None where nothing was measured."""
    unit: str
    tolerance: float | None
    """Half a unit of the last printed digit; None for words."""
    decimals: int | None
    verdict: Outcome
    basis: str
    """Where `measured` comes from; empty where there is none."""
    reason: str


class SourceSummary(Record):
    name: str
    title: str
    reference: str
    figures: int
    verdicts: dict[Outcome, int]


class LedgerSummary(Record):
    """tables/ledger.json."""

    figures: int
    verdicts: dict[Outcome, int]
    sources: dict[str, SourceSummary]
    differing: tuple[Row, ...]
