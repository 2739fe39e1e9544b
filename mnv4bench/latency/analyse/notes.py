"""What a reader should know before trusting the times; report/templates/text/timing_notes.j2 says it in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mnv4bench.latency.analyse.condition import Condition
from mnv4bench.latency.analyse.estimates import MANY
from mnv4bench.latency.analyse.noise import SMALLEST
from mnv4bench.latency.analyse.verdict import ALPHA
from mnv4bench.results.latency import CoarseResolution, FewBlocks, FewRounds, LatencyRow, Note, WideSpread

WIDE = 0.10
"""Interquartile range over median above which torch.utils.benchmark warns of fluctuation, too."""


def notes_on(rows: Sequence[LatencyRow], tested: Sequence[tuple[Condition, int]]) -> tuple[Note, ...]:
    """Return the notes on an analysis, the gravest first.

    Args:
        tested: each condition with the number of differences that are tested in it.
    """
    return (*_few_rounds(tested), *_wide_spread(rows), *_coarse_resolution(rows), *_few_blocks(rows))


def _few_rounds(tested: Sequence[tuple[Condition, int]]) -> Iterator[FewRounds]:
    """Tell where all signs could be equal, and the sign test's p would still be too large."""
    smallest = [
        FewRounds(
            runtime=condition.runtime,
            threads=condition.threads,
            rounds=condition.rounds,
            comparisons=count,
            p=min(1.0, 2 * count / 2**condition.rounds),
        )
        for condition, count in tested
        if len(condition.used) < MANY
    ]
    worst = max(smallest, key=lambda note: note.p, default=None)
    if worst is not None and worst.p > ALPHA:
        yield worst


def _wide_spread(rows: Sequence[LatencyRow]) -> Iterator[WideSpread]:
    """Tell the widest spread of each runtime and thread count."""
    wide = [row for row in rows if row.spread > WIDE]
    for runtime, threads in dict.fromkeys((row.runtime, row.threads) for row in wide):
        here = [row for row in wide if (row.runtime, row.threads) == (runtime, threads)]
        widest = max(here, key=lambda row: row.spread)
        yield WideSpread(
            runtime=runtime,
            threads=threads,
            value=widest.spread,
            arm=widest.arm,
            stage=widest.stage,
            rows=len(here),
        )


def _coarse_resolution(rows: Sequence[LatencyRow]) -> Iterator[CoarseResolution]:
    """Tell the coarsest resolution of each runtime and thread count in which copies differ by more than 2 %."""
    coarse = [(row.resolution, row) for row in rows if row.resolution is not None and row.resolution > SMALLEST]
    for runtime, threads in dict.fromkeys((row.runtime, row.threads) for _, row in coarse):
        value, stage = max(
            (value, row.stage) for value, row in coarse if (row.runtime, row.threads) == (runtime, threads)
        )
        yield CoarseResolution(runtime=runtime, threads=threads, value=value, stage=stage)


def _few_blocks(rows: Sequence[LatencyRow]) -> Iterator[FewBlocks]:
    few = [row.blocks for row in rows if row.p90_ms is None]
    if few:
        yield FewBlocks(rows=len(few), blocks=min(few))
