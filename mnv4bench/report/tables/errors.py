"""What keeps AP50 down in each arm, by type of error (TIDE). Exploratory: no interval, no test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any, NamedTuple, get_args

from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import page, sentences
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.arms import label
from mnv4bench.report.tables.cells import Table
from mnv4bench.report.tables.columns import Column, printed, words
from mnv4bench.report.tables.csv import per_seed
from mnv4bench.results.metrics import Errors, ErrorType

TYPES: tuple[ErrorType, ...] = get_args(ErrorType)
DUPLICATES = "duplicates_per_object"
QUANTITIES = ("AP50", *TYPES, DUPLICATES)
TITLES = {"classification": "class", "localisation": "location", DUPLICATES: "dup./object"}
"""Where a column's title is not the quantity's name."""


class Pair(NamedTuple):
    """An arm and its ablation's baseline, which may be the same."""

    arm: ArmResult
    baseline: ArmResult

    def value(self, quantity: str) -> float | None:
        return _mean(per_seed_values(self.arm, quantity))

    def difference(self, quantity: str) -> float | None:
        return _mean(self.differences(quantity))

    def differences(self, quantity: str) -> dict[int, float]:
        return {} if self.arm.is_baseline else differences(self.arm, self.baseline, quantity)


class ErrorRow(NamedTuple):
    """One quantity of one arm."""

    pair: Pair
    quantity: str


COLUMNS: list[Column[ErrorRow]] = [
    Column("ablation", lambda row: row.pair.arm.arm.ablation),
    Column("arm", lambda row: row.pair.arm.arm.name),
    Column("baseline", lambda row: int(row.pair.arm.is_baseline)),
    Column("quantity", lambda row: row.quantity),
    Column("value", lambda row: row.pair.value(row.quantity)),
    Column("value_seeds", lambda row: per_seed(per_seed_values(row.pair.arm, row.quantity))),
    Column("difference", lambda row: row.pair.difference(row.quantity)),
    Column("difference_seeds", lambda row: per_seed(row.pair.differences(row.quantity))),
    Column("count", lambda row: _mean(_counts(row.pair.arm, row.quantity))),
]
"""Of errors.csv; the printed tables have one row per arm instead."""


def rows(results: Results) -> list[ErrorRow]:
    return [ErrorRow(pair, quantity) for pair in pairs(results) for quantity in QUANTITIES]


def pairs(results: Results) -> list[Pair]:
    """Return every arm with its ablation's baseline."""
    return [
        Pair(arm, next(other for other in arms if other.is_baseline))
        for arms in results.ablations.values()
        for arm in arms
    ]


def recorded(results: Results) -> bool:
    return any(per_seed_values(arm, "AP50") for arm in results.arms)


def per_seed_values(arm: ArmResult, quantity: str) -> dict[int, float]:
    """Return seed → AP50, the gain when one type of error is repaired, or duplicates per object."""

    def values(errors: Errors) -> Mapping[Any, float | None]:
        return {"AP50": errors.AP50, DUPLICATES: errors.duplicates_per_object, **errors.gains}

    return _per_seed(arm, values, quantity)


def _counts(arm: ArmResult, quantity: str) -> dict[int, float]:
    return _per_seed(arm, lambda errors: errors.counts, quantity)


def _per_seed(arm: ArmResult, part: Callable[[Errors], Mapping[Any, float | None]], quantity: str) -> dict[int, float]:
    values = {seed: part(errors).get(quantity) for seed, errors in _errors(arm).items()}
    return {seed: float(value) for seed, value in values.items() if value is not None}


def _errors(arm: ArmResult) -> dict[int, Errors]:
    readings = {result.seed: result.reading for result in arm.seeds}
    return {seed: reading.errors for seed, reading in readings.items() if reading is not None and reading.errors}


def differences(arm: ArmResult, baseline: ArmResult, quantity: str) -> dict[int, float]:
    """Return seed → the arm's value minus the baseline's, over the seeds that have both."""
    values, base = per_seed_values(arm, quantity), per_seed_values(baseline, quantity)
    return {seed: value - base[seed] for seed, value in values.items() if seed in base}


def _mean(values: dict[int, float]) -> float | None:
    return fmean(values.values()) if values else None


def error_table(results: Results) -> Table:
    """Return one row per arm: what repairing each type would gain, and in brackets the difference to the baseline."""

    def text(pair: Pair, quantity: str) -> str:
        value, difference = fmt.number(pair.value(quantity), 3), pair.difference(quantity)
        return value if difference is None else f"{value} ({fmt.number(difference, 3, sign=True)})"

    return _wide(results, lambda pair: label(pair.arm), text)


def changes(results: Results) -> Table:
    """Return one number per cell, for a narrow page: the baselines' values, and differences of the other arms."""

    def text(pair: Pair, quantity: str) -> str:
        if pair.arm.is_baseline:
            return fmt.number(pair.value(quantity), 3)
        return fmt.number(pair.difference(quantity), 3, sign=True)

    return _wide(results, lambda pair: label(pair.arm) if pair.arm.is_baseline else f"{pair.arm.arm.name} (Δ)", text)


def _wide(results: Results, name: Callable[[Pair], str], text: Callable[[Pair, str], str]) -> Table:
    """Return one row per arm and one column per quantity."""

    def column(quantity: str) -> Column[Pair]:
        return Column(quantity, None, TITLES.get(quantity, quantity), lambda pair: text(pair, quantity))

    columns = [
        words("ablation", "ablation", lambda pair: pair.arm.arm.ablation),
        words("arm", "arm", name),
        *map(column, QUANTITIES),
    ]
    return printed(columns, pairs(results))


def legend(results: Results) -> list[str]:
    """Return how to read the table."""
    confidences = {errors.confidence for arm in results.arms for errors in _errors(arm).values()}
    return sentences("text/errors.j2", confidences=[*map(fmt.plain, sorted(confidences))], recorded=recorded(results))


def as_markdown(results: Results) -> str:
    """Return tables/errors.md."""
    return page(
        "errors.md.j2",
        title=results.plan.title,
        errors=error_table(results) if recorded(results) else None,
        how_to_read=legend(results),
    )
