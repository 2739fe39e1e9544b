"""latency/latency.json: times and what follows from them."""

from __future__ import annotations

from typing import Literal

from mnv4bench.results.environment import Environment
from mnv4bench.results.record import Record
from mnv4bench.spec.model import Read

Stage = Literal["forward", "post", "end_to_end", "in_graph"]
LatencyVerdict = Literal["faster", "slower", "unresolved", "same", "identical", "unstable", "suppressed"]


class LatencyRow(Record):
    """One arm in one runtime at one thread count; milliseconds per image at batch 1."""

    runtime: str
    threads: int
    arm: str
    """Label "<ablation>/<arm>"; arms that deploy the same network share their measurement."""
    stage: Stage
    blocks: int
    """Timed blocks behind the times below."""
    p50_ms: float
    """Of the blocks' means per image."""
    min_ms: float
    p90_ms: float | None
    """Not exceeded by nine of ten blocks, at 99 % confidence; None where there are too few blocks to say."""
    spread: float
    """Interquartile range over median of the rounds' times, over the sessions that ratios are over, each brought to
    one level."""
    baseline: str | None
    """Label of the arm that the ratio is over: the ablation's baseline; None for the baseline itself."""
    ratio: float | None = None
    """Median over rounds of this arm's time over the baseline's in the same round of the same session."""
    ratio_low: float | None = None
    ratio_high: float | None = None
    """Distribution-free 95 % interval of that median (or the widest available)."""
    ratio_sessions: tuple[float, ...] = ()
    """The median of each session, contaminated ones left out."""
    resolution: float | None = None
    """Smallest relative change that can get a verdict here: what two copies of one network differ by, at least 2 %."""
    verdict: LatencyVerdict | None = None
    reason: str | None = None
    """Why the verdict is unstable, suppressed or identical."""


class LatencySession(Record):
    """One process in which every arm was timed, and how quiet the machine was."""

    number: int
    threads: int
    seconds: float
    busy_before: float
    """Cores at work for others just before."""
    busy_during: float | None = None
    """Cores at work for others meanwhile; None where the kernel does not count core time."""
    involuntary_switches: int | None = None
    """How often the process was put aside while it measured."""
    canary_drift: float | None = None
    """Relative move of a fixed piece of work between the thirds of the session."""
    copies: dict[str, float] = {}
    """"<runtime> <stage>" → time of the reference's second copy over the first, minus 1; medians over rounds."""
    contaminated: tuple[str, ...] = ()
    """Why the session's times are kept and take no part in verdicts; a reason that begins "in <runtime> <stage> alone"
    concerns only these."""


class QuantisedAP(Record):
    """What quantisation does to the weights that were timed; arms that deploy the same network share them."""

    runtime: str
    arm: str
    read: Read
    AP: float | None
    AP_float: float | None
    """Of the same weights in float32, as evaluated."""


class Latency(Record):
    """latency/latency.json: recomputed from latency/blocks.csv, which keeps every timed block."""

    reference: str
    """The arm of which a second copy was timed."""
    images: int
    rounds: int
    blocks: int
    """Timed blocks in each turn; the fastest counts."""
    block_ms: float
    comparable: bool
    """False when the machine was busy at the start of a session; the numbers are shown, and marked."""
    sessions: tuple[LatencySession, ...]
    rows: tuple[LatencyRow, ...]
    quantised: tuple[QuantisedAP, ...] = ()
    absent: dict[str, str] = {}
    """Arms or runtimes that were not measured, and why."""
    notes: tuple[str, ...] = ()
    """Warnings, a sentence each."""
    fingerprint: str
    """SHA-256 over everything of the machine and software that times depend on, first 12 digits."""
    environment: Environment

    @property
    def threads(self) -> int:
        """The thread count that tables and figures show: the first one."""
        return self.sessions[0].threads
