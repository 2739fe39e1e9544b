"""What a reader should know before trusting the times, in whole sentences: the number, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mnv4bench.latency.analyse.condition import Condition
from mnv4bench.latency.analyse.estimates import MANY
from mnv4bench.latency.analyse.noise import SMALLEST
from mnv4bench.latency.analyse.verdict import ALPHA
from mnv4bench.results.latency import LatencyRow

WARN = 0.10
"""Interquartile range over median above which torch.utils.benchmark warns of fluctuation, too."""


def on(
    rows: Sequence[LatencyRow], contaminated: Mapping[int, Sequence[str]], conditions: Sequence[tuple[Condition, int]]
) -> list[str]:
    """Return the remarks on an analysis, the gravest first.

    Args:
        contaminated: session → why its times, or some of them, take no part.
        conditions: each with the number of differences that are tested in it.
    """
    return [*_disturbed(contaminated), *_few_rounds(conditions), *_spread(rows), *_coarse(rows), *_few_blocks(rows)]


def _disturbed(contaminated: Mapping[int, Sequence[str]]) -> Iterator[str]:
    disturbed = {session: reasons for session, reasons in contaminated.items() if reasons}
    if disturbed:
        which = "; ".join(f"session {session}: {', '.join(reasons)}" for session, reasons in disturbed.items())
        yield (
            f"{len(disturbed)} of {len(contaminated)} sessions were disturbed, and their times take no part in the "
            f"verdicts ({which}); measure again when nothing else runs."
        )


def _few_rounds(conditions: Sequence[tuple[Condition, int]]) -> Iterator[str]:
    """Say where no result whatever could be a finding: all signs equal, and the sign test's p still too large."""
    floors = [
        (2 * tested / 2**condition.rounds, condition, tested)
        for condition, tested in conditions
        if len(condition.used) < MANY
    ]
    p, condition, tested = max(floors, key=lambda one: one[0], default=(0.0, None, 0))
    if condition is not None and p > ALPHA:
        yield (
            f"{condition.rounds} rounds are too few for a verdict on {tested} arm{'s' * (tested > 1)}: were all of "
            f"them to agree, p would still be {min(p, 1.0):.2g} ({_place(condition.runtime, condition.threads)}); "
            "raise latency.rounds or latency.sessions."
        )


def _spread(rows: Sequence[LatencyRow]) -> Iterator[str]:
    """One remark for each runtime and thread count, about its widest spread."""
    wide = [row for row in rows if row.spread > WARN]
    for where in dict.fromkeys(_place(row.runtime, row.threads) for row in wide):
        here = [row for row in wide if _place(row.runtime, row.threads) == where]
        widest = max(here, key=lambda row: row.spread)
        yield (
            f"Times of {where} spread by up to {widest.spread:.0%} of their median between the quartiles "
            f"({widest.arm}, {widest.stage}; {len(here)} rows exceed {WARN:.0%}); rely on the ratios, which are taken "
            "within rounds, or measure again when nothing else runs."
        )


def _coarse(rows: Sequence[LatencyRow]) -> Iterator[str]:
    """One remark for each runtime and thread count in which copies differ by more than the smallest change."""
    coarse = [(row.resolution, row) for row in rows if row.resolution is not None and row.resolution > SMALLEST]
    for where in dict.fromkeys(_place(row.runtime, row.threads) for _, row in coarse):
        here = [(value, row.stage) for value, row in coarse if _place(row.runtime, row.threads) == where]
        value, stage = max(here)
        yield (
            f"Two copies of one network differ so much in {where} that changes below {value:.1%} ({stage}) get no "
            f"verdict, instead of {SMALLEST:.0%}; raise latency.sessions."
        )


def _few_blocks(rows: Sequence[LatencyRow]) -> Iterator[str]:
    few = [row.blocks for row in rows if row.p90_ms is None]
    if few:
        yield (
            f"{len(few)} rows have no 90th percentile: {min(few)} timed blocks cannot name one with 99 % confidence, "
            "64 can; raise latency.blocks, latency.rounds or latency.sessions."
        )


def _place(runtime: str, threads: int) -> str:
    return f"{runtime} with {threads} thread{'s' * (threads > 1)}"
