"""The table of all arms, which can be sorted and filtered: columns of tables/ablations.csv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables import arms
from mnv4bench.report.tables.cells import Cell
from mnv4bench.report.tables.columns import Column, of_part, pick
from mnv4bench.results.latency import QuantisedAP
from mnv4bench.results.runs import SeedResult


@dataclass(frozen=True)
class Shown:
    """A cell, or a column's title without a value."""

    text: str
    number: bool
    runtime: str
    """That it belongs to; empty for what belongs to none."""
    value: float | str | None = None
    """What the column is sorted by; None comes last."""


@dataclass(frozen=True)
class Row:
    arm: ArmResult
    cells: tuple[Shown, ...]

    @property
    def seeds(self) -> tuple[SeedResult, ...]:
        return self.arm.seeds


def titles(results: Results) -> list[Shown]:
    return [Shown(column.title, column.align == "r", runtime) for runtime, column in _columns(results)]


def rows(results: Results) -> list[Row]:
    columns = list(_columns(results))
    return [Row(arm, tuple(_cell(arm, runtime, column) for runtime, column in columns)) for arm in results.arms]


def _cell(arm: ArmResult, runtime: str, column: Column[ArmResult]) -> Shown:
    text = column.text(arm) if column.text else ""
    value = column.value(arm) if column.value else None
    return Shown(text.text if isinstance(text, Cell) else text, column.align == "r", runtime, value)


def _columns(results: Results) -> Iterator[tuple[str, Column[ArmResult]]]:
    """Yield the runtime that a column belongs to, if any, and the column."""
    known = arms.columns(results)
    for column in pick(known, "ablation", "arm", "read", "AP", "difference_mean", "verdict", "params_M", "flops_G"):
        yield "", column
    for runtime in (*results.timed, *results.timed_int8):
        for column in _of_runtime(results, runtime):
            yield runtime, column


INT8: Column[QuantisedAP] = Column("AP", lambda score: score.AP, "AP in int8", lambda score: fmt.points(score.AP, 1))


def _of_runtime(results: Results, runtime: str) -> list[Column[ArmResult]]:
    quantised: arms.Columns = of_part([INT8], lambda arm: arm.quantised.get(runtime))
    return [
        arms.times(runtime, "end_to_end", "ms")[0],
        arms.ratios(runtime, "end_to_end", "× baseline")[0],
        *(quantised if runtime in results.timed_int8 else ()),
    ]
