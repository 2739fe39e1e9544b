"""A published figure, checked: what it comes to here, the verdict, and what its reason rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mnv4bench.ledger.checks import Check, Context, Measured, NotHere, PrintedFigure
from mnv4bench.ledger.facts import Fact, OtherDevice
from mnv4bench.ledger.times import ClaimTimes, claim_times
from mnv4bench.results.latency import Latency
from mnv4bench.results.ledger import Outcome

SCORED = "scored here"
"""Where an AP of a published checkpoint comes from."""

ROUNDING = 1e-9
"""Share of a figure that binary arithmetic may lose without a verdict changing."""

Finding = Literal["unmatched", "words", "exceeds", "off", "close", "close after rounding"]
"""How a measured figure stands to the published one: it is of another configuration; both are words; one is to exceed
the other; they differ; they are the same at the printed digits; they are the same only as the figures that it is
computed from are rounded."""


@dataclass(frozen=True)
class PartResult:
    """What was measured here of the same part, on other data or another device."""

    value: float | None
    """AP in points, or a ratio of times."""
    sentence: str


@dataclass(frozen=True)
class CheckpointResult:
    """What was measured here of a published checkpoint."""

    whole: bool
    """Whether it was scored on all of COCO val2017, so that its AP is COCO AP."""
    scores: Mapping[str, PartResult]
    """Score → points, and a sentence on them."""
    times: str = ""
    """Its time beside another checkpoint's of the same campaign; empty where there is none."""


PARTS_UNITS = {"AP": "AP", "latency": "×"}
"""Units of `PartResult.value`; it is no measurement of a claim in another unit."""

Parts = Mapping[tuple[str, str, str], PartResult]
"""(ablation, arm, "AP" or "latency") → what was measured of it."""


@dataclass(frozen=True)
class Checked:
    """A published figure with its verdict."""

    fact: Fact
    published: Measured
    verdict: Outcome
    measured: float | str | None = None
    basis: str = ""
    """Where `measured` comes from; empty where there is none."""
    finding: Finding | None = None
    """None where no check was made."""
    beside: Mapping[str, float | str] = field(default_factory=dict)
    """Further measurements, by their names."""
    obstacle: str = ""
    """What a check lacks on this installation."""
    part: PartResult | None = None
    times: ClaimTimes | None = None
    """What timing the claim's networks gave; None where that was not tried."""

    @property
    def plain(self) -> bool:
        """Whether the figure is shown as it is, without digits beyond the printed ones."""
        return self.fact.exact or isinstance(self.fact.test, PrintedFigure)


def check(
    fact: Fact,
    context: Context,
    parts: Parts,
    times: Latency | None = None,
    checkpoints: Mapping[str, CheckpointResult] | None = None,
) -> Checked:
    """Check a figure. What is measured is measured before the published figure is looked at."""
    if result := (checkpoints or {}).get(fact.checkpoint or ""):
        return _of_checkpoint(fact, context.figure(fact.id), result)
    if not isinstance(fact.test, Check):
        return _unchecked(fact, context.figure(fact.id), parts, times)
    measured: Measured | None = None
    beside: dict[str, float | str] = {}
    obstacle = ""
    try:
        measured = fact.test.measure(context)
        beside = {label: other.measure(context).value for label, other in fact.beside.items()}
    except NotHere as error:
        obstacle = str(error)
    published = context.figure(fact.id)
    if measured is None:
        return Checked(fact, published, "not testable here", obstacle=obstacle)
    verdict = _judged(fact, published, measured)
    finding = _finding(fact, published, measured, verdict)
    return Checked(fact, published, verdict, measured.value, _basis(fact, measured), finding, beside, obstacle)


def _unchecked(fact: Fact, published: Measured, parts: Parts, times: Latency | None) -> Checked:
    verdict: Outcome = "not comparable" if isinstance(fact.test, OtherDevice) else "not testable here"
    part = parts.get((fact.part.ablation, fact.part.arm, fact.part.quantity)) if fact.part else None
    timed = claim_times(fact.timed, times) if fact.timed and times else None
    value, basis = None, ""
    if fact.part and part and part.value is not None and fact.unit == PARTS_UNITS[fact.part.quantity]:
        value, basis = part.value, "same part, measured here"
    elif timed and timed.value is not None:
        value, basis = timed.value, "forward passes timed here"
    return Checked(fact, published, verdict, value, basis, part=part, times=timed)


def _judged(fact: Fact, published: Measured, measured: Measured) -> Outcome:
    if fact.unmatched:
        return "unmatched"
    return "reproduced" if agrees(fact, published, measured) else "differs"


def _of_checkpoint(fact: Fact, published: Measured, result: CheckpointResult) -> Checked:
    """Return a figure with its verdict, where its very checkpoint is here.

    A time of another device has none, an AP neither where a part of the images was scored: that part's is not COCO AP.
    """
    if isinstance(fact.test, OtherDevice):
        return Checked(fact, published, "not comparable", part=PartResult(None, result.times))
    part = result.scores[fact.score]
    if part.value is None or not result.whole:
        return Checked(fact, published, "not testable here", obstacle=part.sentence)
    measured = Measured.exact(part.value, SCORED)
    verdict = _judged(fact, published, measured)
    finding = _finding(fact, published, measured, verdict)
    return Checked(fact, published, verdict, part.value, SCORED, finding, part=part)


def agrees(fact: Fact, published: Measured, measured: Measured) -> bool:
    """Return whether a figure is what was measured.

    A number agrees if the measured one, or the range that the rounding of its ingredients leaves for it, meets the
    range of what is printed so: half a unit of the last digit to either side. Words agree if they are the same.
    """
    if isinstance(published.value, str) or isinstance(measured.value, str):
        return published.value == measured.value
    slack = ROUNDING * max(abs(published.value), 1.0)
    if fact.relation == "exceeds":
        return measured.value > published.value
    if isinstance(fact.test, PrintedFigure):
        measured = Measured.exact(measured.value, "")
    return measured.low <= published.high + slack and measured.high >= published.low - slack


def _finding(fact: Fact, published: Measured, measured: Measured, verdict: Outcome) -> Finding:
    if verdict == "unmatched":
        return "unmatched"
    if isinstance(published.value, str) or isinstance(measured.value, str):
        return "words"
    if fact.relation == "exceeds":
        return "exceeds"
    if verdict == "differs":
        return "off"
    margin = (fact.tolerance or 0.0) + ROUNDING * max(abs(published.value), 1.0)
    return "close" if abs(measured.value - published.value) <= margin else "close after rounding"


def _basis(fact: Fact, measured: Measured) -> str:
    return f"printed in {' and '.join(measured.origins)}" if isinstance(fact.test, PrintedFigure) else measured.basis
