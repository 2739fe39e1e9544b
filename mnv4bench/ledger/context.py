"""The published figures and the counts of models, as checks see them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from mnv4bench.ledger.checks import Measured, ModelCounts
from mnv4bench.ledger.facts import Fact, Published


@dataclass(frozen=True)
class FiguresAndCounts:
    """The Context of a ledger."""

    published: Published
    counts: ModelCounts

    def figure(self, id: str) -> Measured:
        return self._printed(self.published.facts[id])

    def column(self, table: str, column: str) -> dict[str, Measured]:
        return {row: self._printed(fact) for row, fact in self._columns.get((table, column), {}).items()}

    @cached_property
    def _columns(self) -> dict[tuple[str, str], dict[str, Fact]]:
        columns: dict[tuple[str, str], dict[str, Fact]] = {}
        for fact in self.published.facts.values():
            cell, _, column = fact.id.rpartition("/")
            table, _, row = cell.rpartition("/")
            columns.setdefault((table, column), {})[row] = fact
        return columns

    def _printed(self, fact: Fact) -> Measured:
        if fact.quotes is not None:
            return self._rounded(fact.quotes.measure(self), fact.decimals)
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
