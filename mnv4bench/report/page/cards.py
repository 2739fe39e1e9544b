"""A card per ablation: its question, and what came out of every comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mnv4bench.report import accuracy, claims, text, timing
from mnv4bench.report.findings import conclusion
from mnv4bench.report.rendering import sentences
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.results.comparison import Difference
from mnv4bench.results.latency import LatencyVerdict

MARGIN = 1.1
"""How much wider the common scale is than the widest interval."""


@dataclass(frozen=True)
class Bar:
    """A difference on the scale that all cards share, in percent of its width from the left."""

    low: float
    middle: float
    high: float
    band: tuple[float, float]
    """± the smallest effect that matters."""


@dataclass(frozen=True)
class Time:
    runtime: str
    ratio: str
    verdict: LatencyVerdict | None


@dataclass(frozen=True)
class Comparison:
    """An arm against its ablation's baseline."""

    arm: str
    points: str
    verdict: str
    word: str
    """The verdict as a class of the style sheet knows it."""
    bar: Bar | None
    times: tuple[Time, ...]
    conclusion: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    name: str
    title: str
    question: str
    baseline: str
    comparisons: tuple[Comparison, ...]
    claims: tuple[str, ...]


def cards(results: Results) -> list[Card]:
    """Return the cards in the preset's order."""
    limit = scale(results.comparison.differences)
    made = []
    for name, arms in results.ablations.items():
        spec = results.plan.ablations[name]
        compared = tuple(_comparison(results, arm, limit) for arm in arms if not arm.is_baseline)
        made.append(
            Card(name, spec.title, spec.question, spec.title_of(spec.baseline), compared, claims.sentences(spec, arms))
        )
    return made


def scale(differences: Iterable[Difference]) -> float:
    """Return the AP at either end of the scale: a little more than the widest interval or smallest effect."""
    values = [value for d in differences for value in (d.low, d.high, d.mean, d.smallest_effect) if value is not None]
    return MARGIN * max(map(abs, values), default=1.0) or 1.0


def _comparison(results: Results, arm: ArmResult, limit: float) -> Comparison:
    d = arm.difference
    rows = {name: arm.row(name) for name in results.timed}
    return Comparison(
        arm=arm.arm.title,
        points=accuracy.interval(d, accuracy.decimals_of(results)),
        verdict=accuracy.verdict(d),
        word=(d and d.verdict) or "none",
        bar=bar(d, limit),
        times=tuple(Time(name, timing.ratio_and_verdict(row), row.verdict) for name, row in rows.items() if row),
        conclusion=conclusion(results, arm),
        notes=tuple(_notes(results, arm)),
    )


def _notes(results: Results, arm: ArmResult) -> list[str]:
    decimals, d = accuracy.decimals_of(results), arm.difference
    why = text.reason(d, results, decimals) if d else ""
    return sentences(
        "page/notes.j2",
        ended=text.ended(arm, results),
        d=d,
        reason=why,
        opposed=text.opposed(arm, results, decimals),
        decimals=decimals,
    )


def bar(d: Difference | None, limit: float) -> Bar | None:
    """Return where a difference stands on a scale from -limit to +limit; None where there is none."""
    if d is None or d.mean is None:
        return None

    def place(value: float) -> float:
        return round(50 + 50 * value / limit, 2)

    low, high = (d.mean if end is None else end for end in (d.low, d.high))
    return Bar(place(low), place(d.mean), place(high), (place(-d.smallest_effect), place(d.smallest_effect)))
