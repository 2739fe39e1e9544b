"""One runtime, stage and thread count: the times that can be compared with each other, and how well."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mnv4bench.latency.analyse import noise
from mnv4bench.latency.analyse.estimates import Estimate, Floats, estimate
from mnv4bench.latency.analyse.turns import Timed, log_ratios
from mnv4bench.results.latency import Disturbance, Stage

Pair = tuple[str, str]
"""The labels under which an arm and its baseline were measured."""


@dataclass(frozen=True)
class Condition:
    threads: int
    runtime: str
    stage: Stage
    timed: Mapping[str, Timed]
    """By the label under which it was measured."""
    copies: Mapping[int, Floats]
    """Session → log ratios of the reference's copy over the reference."""
    moved: Mapping[int, float]
    """Session → drift of its canary, where that is too much."""

    @property
    def name(self) -> str:
        return f"{self.runtime} {self.stage}"

    @cached_property
    def sessions(self) -> list[int]:
        return sorted({session for timed in self.timed.values() for session in timed.turns})

    @cached_property
    def disturbed(self) -> dict[int, Disturbance]:
        """Session → why its times take no part in this condition's ratios.

        A canary that moved tells of the whole machine. Copies that differ tell of one runtime's memory in one stage;
        the session's other times have copies of their own.
        """
        differing = {
            session: Disturbance(
                code="copies_differ", value=relative_difference(logs), runtime=self.runtime, stage=self.stage
            )
            for session, logs in self.copies.items()
            if noise.copies_differ(logs)
        }
        drifting = {
            session: Disturbance(code="canary_drift", value=drift)
            for session, drift in self.moved.items()
            if session in self.sessions
        }
        return dict(sorted((differing | drifting).items()))

    @cached_property
    def used(self) -> list[int]:
        """The sessions that ratios are over: the undisturbed ones, or all of them where none is."""
        return [session for session in self.sessions if session not in self.disturbed] or self.sessions

    @cached_property
    def resolution(self) -> float | None:
        """Smallest relative change that can get a verdict; None where no copy was timed."""
        if not self.copies:
            return None
        steady = [session for session in self.copies if session not in self.moved] or list(self.copies)
        medians = [float(np.median(self.copies[session])) for session in steady]
        return max(math.expm1(noise.floor(medians, len(self.used))), noise.SMALLEST)

    @cached_property
    def rounds(self) -> int:
        """Rounds behind a ratio."""
        return max((sum(len(arm.turns.get(n, ())) for n in self.used) for arm in self.timed.values()), default=0)

    def compare(self, pair: Pair) -> Estimate | None:
        """Return what the rounds say about an arm and its baseline; None where they never had a round in common."""
        if not all(label in self.timed for label in pair):
            return None
        logs = log_ratios(self.timed[pair[0]], self.timed[pair[1]])
        sessions = [logs[session] for session in self.used if session in logs]
        return estimate(sessions) if sessions else None

    def blocks(self, label: str) -> list[float]:
        """Return a network's times in the sessions that ratios are over, so that times and ratios tell of the same
        machine; all where it was not timed in those."""
        blocks = self.timed[label].blocks
        used = [session for session in self.used if session in blocks] or list(blocks)
        return [ms for session in used for ms in blocks[session]]

    def spread(self, label: str) -> float:
        """Return the spread of a network's times over the sessions that ratios are over."""
        return self.timed[label].spread(self.used)


def relative_difference(logs: Floats) -> float:
    """Return the relative difference of copy and original, a median over rounds."""
    return math.expm1(float(np.median(logs)))
