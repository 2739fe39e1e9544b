"""latency/latency.json: times and what follows from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mnv4bench.results.environment import Environment
from mnv4bench.results.record import Record
from mnv4bench.results.run import State
from mnv4bench.spec.model import Read

Stage = Literal["forward", "post", "end_to_end", "in_graph"]
LatencyVerdict = Literal["faster", "slower", "unresolved", "same", "identical", "unstable", "suppressed"]
UNJUDGED: frozenset[LatencyVerdict] = frozenset(("unstable", "suppressed"))
"""What stands in the place of a verdict where the noise allows none."""


class Disturbance(Record):
    """Why times of a session are kept and take no part in ratios."""

    code: Literal["canary_drift", "copies_differ"]
    value: float
    """By how much: relative, of the canary between thirds of the session, or of copy and original."""
    runtime: str | None = None
    stage: Stage | None = None
    """The times that this concerns; None where it is all of the session's."""


class Reason(Record):
    """Why a ratio has no verdict."""

    code: Literal["no_copy", "no_quiet_session", "arm_spread", "baseline_spread", "ratio_scatter"]
    value: float | None = None
    """Interquartile range: of the arm's or its baseline's times over their median, or of the ratio, relative."""
    disturbances: tuple[Disturbance, ...] = ()
    """What kept the sessions from being quiet."""


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
    """95 % interval of that ratio: Student's t over session medians from five sessions on; below, by order statistics
    over rounds, of which fewer than six give the smallest and the largest."""
    ratio_sessions: tuple[float, ...] = ()
    """The median of each session, contaminated ones left out."""
    resolution: float | None = None
    """Smallest relative change that can get a verdict here: what two copies of one network differ by, at least 2 %."""
    verdict: LatencyVerdict | None = None
    reason: Reason | None = None
    """Why the verdict is unstable or suppressed."""


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
    contaminated: tuple[Disturbance, ...] = ()


class QuantisedAP(Record):
    """What quantisation does to the weights that were timed: for each arm that they belong to; in older records
    for each that deploys the same network."""

    runtime: str
    arm: str
    read: Read
    AP: float | None
    AP_float: float | None
    """Of the same weights in float32, as evaluated."""


class Absence(Record):
    """What was not timed: an arm whose run has no weights, a runtime, or an arm in one runtime."""

    arm: str | None = None
    runtime: str | None = None
    run: str | None = None
    """The arm's run, where it has no weights."""
    state: State | None = None
    """How that run ended; None where it has not."""
    error: str | None = None
    """The message of what failed, in one line."""

    @property
    def name(self) -> str:
        """Return "<arm>", "<runtime>" or "<arm> in <runtime>"."""
        return " in ".join(name for name in (self.arm, self.runtime) if name)


class FewRounds(Record):
    """No result whatever could get a verdict: were all rounds to agree, p would still be too large."""

    code: Literal["few_rounds"] = "few_rounds"
    runtime: str
    threads: int
    rounds: int
    comparisons: int
    """Tested together."""
    p: float
    """The smallest that could come out, after Holm's adjustment."""


class WideSpread(Record):
    """Times of a runtime fluctuate."""

    code: Literal["wide_spread"] = "wide_spread"
    runtime: str
    threads: int
    value: float
    """The widest: interquartile range over median."""
    arm: str
    stage: Stage
    rows: int
    """How many spread widely."""


class CoarseResolution(Record):
    """Two copies of one network differ by more than the smallest change of interest."""

    code: Literal["coarse_resolution"] = "coarse_resolution"
    runtime: str
    threads: int
    value: float
    """The coarsest resolution."""
    stage: Stage


class FewBlocks(Record):
    """Rows have no 90th percentile."""

    code: Literal["few_blocks"] = "few_blocks"
    rows: int
    blocks: int
    """The fewest behind one of them."""


Note = Annotated[FewRounds | WideSpread | CoarseResolution | FewBlocks, Field(discriminator="code")]
"""What a reader should know before trusting the times."""


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
    scores: dict[str, float | None] = {}
    """Model → AP on 0–1 in float32, where `mnv4bench latency` was asked for it."""
    absent: tuple[Absence, ...] = ()
    """Arms or runtimes that were not measured."""
    notes: tuple[Note, ...] = ()
    fingerprint: str
    """SHA-256 over everything of the machine and software that times depend on, first 12 digits."""
    environment: Environment

    @property
    def threads(self) -> int:
        """The thread count that tables and figures show: the first one."""
        return self.sessions[0].threads
