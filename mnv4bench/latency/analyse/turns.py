"""Blocks gathered by what was timed, and the pairs of turns that may be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from mnv4bench.latency.analyse.estimates import Floats, quartile_range
from mnv4bench.results.blocks import Block
from mnv4bench.results.latency import Stage

Key = tuple[int, str, str, Stage]
"""Threads, runtime, arm and stage."""


@dataclass
class Timed:
    """All times of one arm in one runtime and stage, in milliseconds per image."""

    blocks: dict[int, list[float]] = field(default_factory=dict)
    """Session → all blocks."""
    turns: dict[int, dict[int, float]] = field(default_factory=dict)
    """Session → round → the turn's fastest block, since disturbance only adds (Chen and Revels, arXiv 1608.04295)."""

    def spread(self, sessions: Iterable[int]) -> float:
        """Return interquartile range over median of these sessions' rounds, each session brought to one level first.

        Sessions of different days may differ as a whole; no ratio is taken across them.
        """
        rounds = [np.array(list(self.turns[session].values())) for session in sessions if session in self.turns]
        return quartile_range(np.concatenate([times / np.median(times) for times in rounds])) if rounds else 0.0


def gather(blocks: Iterable[Block]) -> dict[Key, Timed]:
    """Return what was timed, in the order of its first block."""
    times: dict[Key, Timed] = {}
    for block in blocks:
        key = (block.threads, block.runtime, block.arm, block.stage)
        timed = times.setdefault(key, Timed())
        ms = block.ms
        timed.blocks.setdefault(block.session, []).append(ms)
        rounds = timed.turns.setdefault(block.session, {})
        rounds[block.round] = min(ms, rounds.get(block.round, math.inf))
    return times


def log_ratios(timed: Timed, base: Timed) -> dict[int, Floats]:
    """Return session → log of time over `base`'s time in the same round, for all rounds in which both had a turn."""
    ratios = {}
    for session, turns in timed.turns.items():
        others = base.turns.get(session, {})
        rounds = sorted(turns.keys() & others.keys())
        if rounds:
            ratios[session] = np.log([turns[number] / others[number] for number in rounds])
    return ratios
