"""The ledger: every published figure with its verdict, and how many there are of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from mnv4bench.ledger.checks import ModelCounts
from mnv4bench.ledger.context import FiguresAndCounts
from mnv4bench.ledger.facts import Published
from mnv4bench.ledger.schema import Source
from mnv4bench.ledger.verdict import Checked, CheckpointResult, Parts, check
from mnv4bench.results.latency import Latency
from mnv4bench.results.ledger import OUTCOMES, LedgerSummary, Outcome, Row, SourceSummary


def ledger(
    published: Published,
    counts: ModelCounts,
    parts: Parts | None = None,
    times: Latency | None = None,
    checkpoints: Mapping[str, CheckpointResult] | None = None,
) -> tuple[Checked, ...]:
    """Check each published figure, in the order of the files.

    Args:
        parts: what this project's ablations measured of the same parts.
        times: of the networks that claims on time are about (`times.networks`); None where they were not timed.
        checkpoints: what was measured of published checkpoints, by name.
    """
    context = FiguresAndCounts(published, counts)
    return tuple(check(fact, context, parts or {}, times, checkpoints) for fact in published.facts.values())


def summary(rows: Iterable[Row], sources: Mapping[str, Source]) -> LedgerSummary:
    """Return how many figures got which verdict, in all and for each source, and the rows that differ."""
    rows = tuple(rows)
    by_source = {key: [row for row in rows if row.source == key] for key in sources}
    return LedgerSummary(
        figures=len(rows),
        verdicts=_tally(rows),
        sources={
            key: SourceSummary(**sources[key].model_dump(), figures=len(group), verdicts=_tally(group))
            for key, group in by_source.items()
        },
        differing=tuple(row for row in rows if row.verdict == "differs"),
    )


def _tally(rows: Iterable[Row]) -> dict[Outcome, int]:
    tally = Counter(row.verdict for row in rows)
    return {outcome: tally[outcome] for outcome in OUTCOMES}
