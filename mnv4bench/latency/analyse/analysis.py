"""From timed blocks to ratios and verdicts: a pure function of what blocks.csv holds.

A turn's time is its fastest block, and a ratio is taken within one round of one session, between an arm and the
baseline of its ablation. `turns` pairs, `estimates` sums up, `noise` says which sessions count and how large a
difference must be, `verdict` finds the word. Each runtime, stage and thread count (a `condition`) is judged by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mnv4bench.latency.analyse import noise
from mnv4bench.latency.analyse.condition import Condition, Pair, relative_difference
from mnv4bench.latency.analyse.estimates import Estimate, percentile
from mnv4bench.latency.analyse.notes import notes_on
from mnv4bench.latency.analyse.turns import Key, Timed, gather, log_ratios
from mnv4bench.latency.analyse.verdict import judge
from mnv4bench.results.blocks import STAGES, Block
from mnv4bench.results.latency import Disturbance, LatencyRow, Note, Stage
from mnv4bench.spec.model import Read
from mnv4bench.statistics.small_samples import holm

CANARY = "canary"
"""Runtime and arm name of the canary's blocks; their stage is "forward"."""
COPY = "copy"
"""Arm name under which the reference's second copy is timed in each runtime."""


@dataclass(frozen=True)
class Judged:
    """An arm to report on."""

    label: str
    measured: str
    """Label whose blocks are this arm's: arms that deploy the same network share them."""
    read: Read
    baseline: str | None
    """Label of its ablation's baseline; None for the baseline itself."""


@dataclass(frozen=True)
class SessionNoise:
    """What canary and copies say about one session; fields of LatencySession."""

    canary_drift: float | None
    copies: dict[str, float]
    contaminated: tuple[Disturbance, ...]


@dataclass(frozen=True)
class Analysis:
    rows: tuple[LatencyRow, ...]
    sessions: dict[int, SessionNoise]
    notes: tuple[Note, ...]


def analyse(blocks: Sequence[Block], arms: Sequence[Judged], reference: str) -> Analysis:
    """Return a row per thread count, runtime, arm and stage that was timed, and what is to be known about the sessions.

    Args:
        blocks: of all sessions.
        arms: what to report on, in the order of the rows.
        reference: label of the arm of which a second copy was timed.
    """
    timed = gather(blocks)
    drifts = _canary_drifts(timed)
    conditions = _conditions(timed, arms, reference, drifts)
    families = [_comparisons(condition, arms) for condition in conditions]
    rows = [
        row for condition, family in zip(conditions, families, strict=True) for row in _rows(condition, arms, family)
    ]
    threads = list(dict.fromkeys(block.threads for block in blocks))
    place = {arm.label: number for number, arm in enumerate(arms)}
    rows.sort(key=lambda row: (threads.index(row.threads), row.runtime, place[row.arm], STAGES.index(row.stage)))
    sessions = {
        number: _session(number, drifts.get(number), conditions)
        for number in sorted({block.session for block in blocks})
    }
    tested = [(condition, len(hypotheses(family))) for condition, family in zip(conditions, families, strict=True)]
    return Analysis(tuple(rows), sessions, notes_on(rows, tested))


def _canary_drifts(timed: Mapping[Key, Timed]) -> dict[int, float | None]:
    """Return session → drift of its canary."""
    return {
        session: noise.canary_drift([turns[number] for number in sorted(turns)])
        for (_, runtime, _, _), canary in timed.items()
        if runtime == CANARY
        for session, turns in canary.turns.items()
    }


def _conditions(
    timed: Mapping[Key, Timed], arms: Sequence[Judged], reference: str, drifts: Mapping[int, float | None]
) -> list[Condition]:
    """Return what can be compared, by thread count, runtime and stage."""
    reads = {arm.measured: arm.read for arm in arms}
    original = next((arm.measured for arm in arms if arm.label == reference), reference)
    moved = {session: drift for session, drift in drifts.items() if drift is not None and drift > noise.DRIFT}
    conditions = []
    for threads, runtime, stage in dict.fromkeys((key[0], key[1], key[3]) for key in timed if key[1] != CANARY):
        read_copy = reads | ({COPY: reads[original]} if original in reads else {})
        here = {
            label: times
            for label, read in read_copy.items()
            if (times := timed.get((threads, runtime, label, _timed_stage(stage, read)))) is not None
        }
        copy = here.pop(COPY, None)
        copies = log_ratios(copy, here[original]) if copy is not None and original in here else {}
        conditions.append(Condition(threads, runtime, stage, here, copies, moved))
    return conditions


def _timed_stage(stage: Stage, read: Read) -> Stage:
    """Return the stage whose blocks say how long an arm takes: an NMS-free graph ends in detections as it is."""
    return "end_to_end" if stage == "in_graph" and read == "nms_free" else stage


def _comparisons(condition: Condition, arms: Sequence[Judged]) -> dict[Pair, Estimate]:
    """Return every arm's comparison with its baseline, where both were timed."""
    measured = {arm.label: arm.measured for arm in arms}
    pairs = dict.fromkeys((arm.measured, measured[arm.baseline]) for arm in arms if arm.baseline in measured)
    return {pair: estimate for pair in pairs if (estimate := condition.compare(pair)) is not None}


def hypotheses(estimates: Mapping[Pair, Estimate]) -> dict[frozenset[str], float]:
    """Return the p of each difference that is tested.

    Two networks that several ablations compare, either way round, make one hypothesis; a network is not tested against
    itself.
    """
    return {frozenset(pair): estimate.p for pair, estimate in estimates.items() if pair[0] != pair[1]}


def _rows(condition: Condition, arms: Sequence[Judged], estimates: Mapping[Pair, Estimate]) -> list[LatencyRow]:
    """Return the rows of all arms that were timed in a condition."""
    measured = {arm.label: arm.measured for arm in arms}
    tested = hypotheses(estimates)
    adjusted = dict(zip(tested, holm(list(tested.values()), len(tested)), strict=True))
    rows = []
    for arm in arms:
        if arm.measured not in condition.timed:
            continue
        pair = (arm.measured, measured.get(arm.baseline or "", ""))
        row = _times(condition, arm)
        rows.append(_with_ratio(row, condition, pair, estimates[pair], adjusted) if pair in estimates else row)
    return rows


def _times(condition: Condition, arm: Judged) -> LatencyRow:
    blocks = condition.blocks(arm.measured)
    return LatencyRow(
        runtime=condition.runtime,
        threads=condition.threads,
        arm=arm.label,
        stage=condition.stage,
        blocks=len(blocks),
        p50_ms=float(np.median(blocks)),
        min_ms=min(blocks),
        p90_ms=percentile(blocks),
        spread=condition.spread(arm.measured),
        baseline=arm.baseline,
    )


def _with_ratio(
    row: LatencyRow, condition: Condition, pair: Pair, estimate: Estimate, adjusted: Mapping[frozenset[str], float]
) -> LatencyRow:
    verdict, reason = judge(condition, pair, estimate, adjusted.get(frozenset(pair), 1.0))
    return row.model_copy(
        update={
            "ratio": math.exp(estimate.value),
            "ratio_low": math.exp(estimate.low),
            "ratio_high": math.exp(estimate.high),
            "ratio_sessions": tuple(math.exp(median) for median in estimate.sessions),
            "resolution": condition.resolution,
            "verdict": verdict,
            "reason": reason,
        }
    )


def _session(number: int, drift: float | None, conditions: Sequence[Condition]) -> SessionNoise:
    copies = {
        condition.name: relative_difference(condition.copies[number])
        for condition in conditions
        if number in condition.copies
    }
    reasons = dict.fromkeys(condition.disturbed[number] for condition in conditions if number in condition.disturbed)
    return SessionNoise(drift, copies, tuple(reasons))
