"""The ledger: every published figure beside what it comes to here, with a verdict and its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from mnv4bench.ledger.checks import Cell, Check, Measured, NotHere
from mnv4bench.ledger.checks import Counter as Counts
from mnv4bench.ledger.facts import Fact, Needs, OtherDevice, Published
from mnv4bench.ledger.schema import Source
from mnv4bench.ledger.times import in_words
from mnv4bench.results.latency import Latency
from mnv4bench.results.ledger import OUTCOMES, LedgerSummary, Outcome, Row, SourceSummary

ROUNDING = 1e-9
"""Share of a figure that binary arithmetic may lose without a verdict changing."""


@dataclass(frozen=True)
class Beside:
    """What was measured here of the same part, on other data or another device."""

    value: float | None
    """AP in points, or a ratio of times."""
    sentence: str


UNITS = {"AP": "AP", "latency": "×"}
"""Units of `Beside.value`; beside a claim in another unit only the sentence is said."""

Parts = Mapping[tuple[str, str, str], Beside]
"""(ablation, arm, "AP" or "latency") → what was measured of it."""


@dataclass(frozen=True)
class Desk:
    """What checks may look at."""

    published: Published
    counts: Counts

    def figure(self, id: str) -> Measured:
        return self._printed(self.published.facts[id])

    def column(self, table: str, column: str) -> dict[str, Measured]:
        return {row: self._printed(fact) for row, fact in self._columns.get((table, column), {}).items()}

    @cached_property
    def _columns(self) -> dict[tuple[str, str], dict[str, Fact]]:
        found: dict[tuple[str, str], dict[str, Fact]] = {}
        for fact in self.published.facts.values():
            table, _, rest = fact.id.rpartition("/")[0].rpartition("/")
            found.setdefault((table, fact.id.rpartition("/")[2]), {})[rest] = fact
        return found

    def _printed(self, fact: Fact) -> Measured:
        if fact.quotes is not None:
            return self._rounded(fact.quotes.take(self), fact.decimals)
        assert fact.published is not None
        origin = ", ".join(filter(None, (self.published.sources[fact.source].name, fact.place)))
        if isinstance(fact.published, str):
            return Measured.words(fact.published, origin)
        value, half = float(fact.published), fact.tolerance or 0.0
        return Measured(value, value - half, value + half, (origin,))

    @staticmethod
    def _rounded(quoted: Measured, decimals: int | None) -> Measured:
        """Return a figure that follows from others at the digits that they carry."""
        if isinstance(quoted.value, str) or decimals is None:
            return quoted
        return replace(quoted, value=round(quoted.value, decimals))


def ledger(
    published: Published, counts: Counts, parts: Parts | None = None, times: Latency | None = None
) -> tuple[Row, ...]:
    """Return a row for each published figure, in the order of the files.

    Args:
        parts: what this project's ablations measured of the same parts.
        times: of the networks that claims on time are about (`times.networks`); None where they were not timed.
    """
    desk = Desk(published, counts)
    return tuple(judge(fact, desk, parts or {}, times) for fact in published.facts.values())


def judge(fact: Fact, desk: Desk, parts: Parts, times: Latency | None = None) -> Row:
    """Return a figure's row. What is measured is measured before the published figure is looked at."""
    measured: Measured | None = None
    reason = ""
    if isinstance(fact.test, Check):
        try:
            measured = fact.test.take(desk)
            reason = _beside(fact.beside, desk)
        except NotHere as error:
            reason = str(error)
    published = desk.figure(fact.id)
    if measured is not None:
        verdict: Outcome = "reproduced" if agrees(fact, published, measured) else "differs"
        reason = " ".join(filter(None, (_finding(fact, published, measured, verdict), reason)))
        return _row(fact, published, measured.value, verdict, _basis(fact, measured), reason)
    if isinstance(fact.test, Check):
        return _row(fact, published, None, "not testable here", "", reason)
    return _untested(fact, fact.test, published, parts, times)


def _untested(fact: Fact, test: Needs | OtherDevice, published: Measured, parts: Parts, times: Latency | None) -> Row:
    part = fact.part and parts.get((fact.part.ablation, fact.part.arm, fact.part.quantity))
    value = part.value if fact.part and part and fact.unit == UNITS[fact.part.quantity] else None
    basis = "" if value is None else "same part, measured here"
    if isinstance(test, OtherDevice):
        verdict: Outcome = "not comparable"
        reason = f"Timed on {test.name}; times of two devices are not comparable. {fact.remark}".strip()
    else:
        verdict, reason = "not testable here", test.sentence
    if fact.part:
        missing = f"This preset has no result for {fact.part.ablation}/{fact.part.arm} yet."
        reason = f"{reason} {part.sentence if part else missing}"
    if fact.timed and times is None:
        reason += " Its networks were not timed here yet: `mnv4bench ledger --time` does."
    elif fact.timed and times is not None:
        measured, sentence = in_words(fact.timed, times)
        reason = f"{reason} {sentence}"
        if value is None and measured is not None:
            value, basis = measured, "forward passes timed here"
    return _row(fact, published, value, verdict, basis, reason)


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
    if isinstance(fact.test, Cell):
        measured = Measured.exact(measured.value, "")
    return measured.low <= published.high + slack and measured.high >= published.low - slack


def _finding(fact: Fact, published: Measured, measured: Measured, verdict: Outcome) -> str:
    """Return the sentence that says why."""
    basis = _basis(fact, measured)
    start = basis[:1].upper() + basis[1:]
    if isinstance(published.value, str) or isinstance(measured.value, str):
        words = "as published." if verdict == "reproduced" else f"“{measured.value}”. {fact.remark}".strip()
        return f"{start}: {words}"
    plain = fact.exact or isinstance(fact.test, Cell)
    value = f"{shown(measured.value, None if plain else fact.decimals)} {fact.unit}".strip()
    if fact.relation == "exceeds":
        return f"{start}: {value}, {'more' if verdict == 'reproduced' else 'not more'} than {published.value:g}."
    if verdict == "differs":
        return f"{start}: {value}. {fact.remark}".strip()
    if abs(measured.value - published.value) <= (fact.tolerance or 0.0) + ROUNDING * max(abs(published.value), 1.0):
        return f"{start}: {value}."
    return f"{start}: {value}, the same within the rounding of the printed figures that this is about."


def _basis(fact: Fact, measured: Measured) -> str:
    return f"printed in {' and '.join(measured.origins)}" if isinstance(fact.test, Cell) else measured.basis


def _beside(checks: Mapping[str, Check], desk: Desk) -> str:
    taken = {label: check.take(desk).value for label, check in checks.items()}
    if not taken:
        return ""
    return "Beside it: " + "; ".join(f"{label} {shown(value, None)}" for label, value in taken.items()) + "."


def shown(value: float | str, decimals: int | None) -> str:
    """Return a number with two digits more than are printed, or its shortest form; with a true minus sign."""
    if isinstance(value, str):
        return value
    if float(value).is_integer() and abs(value) >= 1000:
        return f"{value:.0f}".replace("-", "−")
    text = f"{value:.6g}" if decimals is None else f"{value:.{decimals + 2}f}"
    return text.replace("-", "−")


def _row(
    fact: Fact, published: Measured, measured: float | str | None, verdict: Outcome, basis: str, reason: str
) -> Row:
    return Row(
        id=fact.id,
        source=fact.source,
        place=fact.place,
        claim=fact.claim,
        published=published.value,
        measured=measured,
        unit=fact.unit,
        tolerance=fact.tolerance,
        decimals=fact.decimals,
        verdict=verdict,
        basis=basis,
        reason=reason,
    )


def summary(rows: Iterable[Row], sources: Mapping[str, Source]) -> LedgerSummary:
    """Return how many figures got which verdict, in all and for each source, and the rows that differ."""
    rows = tuple(rows)
    by_source = {key: [row for row in rows if row.source == key] for key in sources}
    return LedgerSummary(
        figures=len(rows),
        verdicts=_tally(rows),
        sources={
            key: SourceSummary(**sources[key].model_dump(), figures=len(found), verdicts=_tally(found))
            for key, found in by_source.items()
        },
        differing=tuple(row for row in rows if row.verdict == "differs"),
    )


def _tally(rows: Iterable[Row]) -> dict[Outcome, int]:
    counted = Counter(row.verdict for row in rows)
    return {outcome: counted[outcome] for outcome in OUTCOMES}
