"""Ways to obtain a figure again: what a check is, and arithmetic on figures.

A check knows its arguments and its context, never the figure that it is compared with.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.results.record import Record

COUNTED = "counted here"
INSPECTED = "read off the model here"
HERE = (COUNTED, INSPECTED)
"""Origins of a figure that was measured; every other origin is a publication."""


class NotHere(Mnv4benchError):
    """A measurement cannot be made on this installation; the text says why and what it would take."""


@dataclass(frozen=True)
class Measured:
    """A figure with the range that the rounding of its ingredients leaves open."""

    value: float | str
    low: float
    high: float
    origins: tuple[str, ...]
    """One of HERE, or the publications ("YOLOv10, Table 1") whose figures it is computed from."""

    @classmethod
    def exact(cls, value: float, origin: str) -> Measured:
        return cls(value, value, value, (origin,))

    @classmethod
    def words(cls, value: str, origin: str) -> Measured:
        return cls(value, 0.0, 0.0, (origin,))

    @property
    def basis(self) -> str:
        """Where it comes from, for the reader."""
        here = [origin for origin in self.origins if origin in HERE]
        printed = " and ".join(origin for origin in self.origins if origin not in HERE)
        return ", with ".join([*here, printed] if printed else here) if here else f"recomputed from {printed}"


Attention = Literal["mqa", "mhsa", "none"]
"""What stands in a hybrid's attention blocks."""


class ModelCounts(Protocol):
    """Counts of models, cached (counts.py)."""

    def detector(self, name: str, imgsz: int) -> dict[str, int]: ...

    def classifier(self, name: str, imgsz: int, attention: Attention, kv_downsampling: bool) -> dict[str, int]: ...

    def head(self, name: str, imgsz: int) -> dict[str, int]: ...


class Context(Protocol):
    """What a check may look at."""

    @property
    def counts(self) -> ModelCounts: ...

    def figure(self, id: str) -> Measured:
        """Return another published figure, with half a unit of its last digit to either side."""

    def column(self, table: str, column: str) -> dict[str, Measured]:
        """Return the printed figures of a table's column by row."""


class Check(Record):
    """A measurement with its arguments."""

    @abstractmethod
    def measure(self, context: Context) -> Measured:
        """Measure.

        Raises:
            NotHere: something that this needs is not installed or not defined.
        """

    def operands(self) -> Iterator[Check]:
        """Yield the checks that this one is computed from."""
        return iter(())

    def figures(self) -> Iterator[str]:
        """Yield the ids of all published figures that go into the result."""
        for operand in self.operands():
            yield from operand.figures()


class PrintedFigure(Check):
    """Another published figure, as printed: to be the same, two figures must look the same."""

    id: str

    def measure(self, context: Context) -> Measured:
        return context.figure(self.id)

    def figures(self) -> Iterator[str]:
        yield self.id


class Arithmetic(Check):
    """f(of, to), monotone in both, so that its range is that of the corners."""

    of: Check
    to: Check

    def operands(self) -> Iterator[Check]:
        yield from (self.of, self.to)

    def measure(self, context: Context) -> Measured:
        a, b = self.of.measure(context), self.to.measure(context)
        if isinstance(a.value, str) or isinstance(b.value, str):
            raise NotHere(f"“{a.value}” and “{b.value}” are not both numbers")
        corners = [self.result(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
        origins = tuple(dict.fromkeys((*a.origins, *b.origins)))
        return Measured(self.result(a.value, b.value), min(corners), max(corners), origins)

    @abstractmethod
    def result(self, a: float, b: float) -> float: ...


class Difference(Arithmetic):
    """`of` minus `to`."""

    def result(self, a: float, b: float) -> float:
        return a - b


class Ratio(Arithmetic):
    """`of` over `to`."""

    def result(self, a: float, b: float) -> float:
        return a / b


class Less(Arithmetic):
    """By how many per cent `of` is below `to`."""

    def result(self, a: float, b: float) -> float:
        return 100 * (1 - a / b)


class Change(Arithmetic):
    """By how many per cent `of` is above `to`, relative to the size of `to`."""

    def result(self, a: float, b: float) -> float:
        return 100 * (a - b) / abs(b)


class Flops(Check):
    """Floating-point operations from multiply-accumulates: two each."""

    of: Check

    def operands(self) -> Iterator[Check]:
        yield self.of

    def measure(self, context: Context) -> Measured:
        macs = self.of.measure(context)
        if isinstance(macs.value, str):
            raise NotHere(f"“{macs.value}” is not a number")
        return Measured(2 * macs.value, 2 * macs.low, 2 * macs.high, macs.origins)


class OnFront(Check):
    """Share of a family's rows that no row of the table beats in accuracy and cost at once.

    A row beats another if it is no worse in both and better in one; rows without one of the two figures are left out.
    """

    table: str
    family: str
    """What the rows' names begin with."""
    accuracy: str
    cost: str

    def measure(self, context: Context) -> Measured:
        accuracy, cost = _numbers(context, self.table, self.accuracy), _numbers(context, self.table, self.cost)
        points = {row: (accuracy[row], cost[row]) for row in accuracy.keys() & cost.keys()}
        ours = [point for row, point in points.items() if row.startswith(self.family)]
        free = sum(not any(_beats(other, point) for other in points.values()) for point in ours)
        (origin,) = next(iter(context.column(self.table, self.cost).values())).origins
        return Measured.exact(free / len(ours), origin)


def _numbers(context: Context, table: str, column: str) -> dict[str, float]:
    return {row: cell.value for row, cell in context.column(table, column).items() if isinstance(cell.value, float)}


def _beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] <= b[1] and a != b


ARITHMETIC: dict[str, type[Check]] = {
    "difference": Difference,
    "ratio": Ratio,
    "less_percent": Less,
    "change_percent": Change,
    "flops": Flops,
    "on_front": OnFront,
}
"""By the name that YAML files use."""
