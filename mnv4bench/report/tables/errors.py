"""What keeps AP50 down in each arm, by type of error (TIDE). Exploratory: no interval, no test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
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

DUPLICATES = "duplicates_per_object"
QUANTITIES: tuple[str, ...] = ("AP50", *get_args(ErrorType), DUPLICATES)
TITLES = {"classification": "class", "localisation": "location", DUPLICATES: "dup./object"}
"""Where a column's title is not the quantity's name."""

Quantities = Mapping[Any, float | None]


class ErrorRow(NamedTuple):
    """One quantity of one arm: AP50, what repairing one type of error would gain, or duplicates per object."""

    arm: ArmResult
    baseline: ArmResult
    quantity: str

    @property
    def values(self) -> dict[int, float]:
        """Return seed → value."""
        return _per_seed(self.arm, _values, self.quantity)

    @property
    def differences(self) -> dict[int, float]:
        """Return seed → the arm's value minus the baseline's, over the seeds that have both."""
        base = {} if self.arm.is_baseline else _per_seed(self.baseline, _values, self.quantity)
        return {seed: value - base[seed] for seed, value in self.values.items() if seed in base}

    @property
    def counts(self) -> dict[int, float]:
        return _per_seed(self.arm, lambda errors: errors.counts, self.quantity)


def _values(errors: Errors) -> Quantities:
    return {"AP50": errors.AP50, DUPLICATES: errors.duplicates_per_object, **errors.gains}


def _per_seed(arm: ArmResult, part: Callable[[Errors], Quantities], quantity: str) -> dict[int, float]:
    values = {seed: part(errors).get(quantity) for seed, errors in _errors(arm).items()}
    return {seed: float(value) for seed, value in values.items() if value is not None}


def _errors(arm: ArmResult) -> dict[int, Errors]:
    readings = {result.seed: result.reading for result in arm.seeds}
    return {seed: reading.errors for seed, reading in readings.items() if reading is not None and reading.errors}


def _mean(values: dict[int, float]) -> float | None:
    return fmean(values.values()) if values else None


COLUMNS: list[Column[ErrorRow]] = [
    Column("ablation", lambda row: row.arm.arm.ablation),
    Column("arm", lambda row: row.arm.arm.name),
    Column("baseline", lambda row: int(row.arm.is_baseline)),
    Column("quantity", lambda row: row.quantity),
    Column("value", lambda row: _mean(row.values)),
    Column("value_seeds", lambda row: per_seed(row.values)),
    Column("difference", lambda row: _mean(row.differences)),
    Column("difference_seeds", lambda row: per_seed(row.differences)),
    Column("count", lambda row: _mean(row.counts)),
]
"""Of errors.csv; the printed tables have one row per arm instead."""


def rows(results: Results) -> list[ErrorRow]:
    return list(chain(*_by_arm(results)))


def _by_arm(results: Results) -> list[list[ErrorRow]]:
    baselines = {arm.arm.ablation: arm for arm in results.arms if arm.is_baseline}
    return [[ErrorRow(arm, baselines[arm.arm.ablation], quantity) for quantity in QUANTITIES] for arm in results.arms]


def recorded(results: Results) -> bool:
    return any(row.values for row in rows(results) if row.quantity == "AP50")


def error_table(results: Results) -> Table:
    """Return one row per arm: what repairing each type would gain, and in brackets the difference to the baseline."""

    def text(row: ErrorRow) -> str:
        value, difference = _shown(row, _mean(row.values)), _mean(row.differences)
        return value if difference is None else f"{value} ({_shown(row, difference, sign=True)})"

    return _wide(results, lambda arm: arm.arm.ablation, label, text)


def _shown(row: ErrorRow, value: float | None, sign: bool = False) -> str:
    """Return AP50 and its gains in points; duplicates are a number per object."""
    return fmt.number(value, 3, sign) if row.quantity == DUPLICATES else fmt.points(value, 1, sign)


def changes(results: Results) -> Table:
    """Return one number per cell, for a narrow page: the baselines' values, and differences of the other arms."""

    def text(row: ErrorRow) -> str:
        if row.arm.is_baseline:
            return _shown(row, _mean(row.values))
        return _shown(row, _mean(row.differences), sign=True)

    def title(arm: ArmResult) -> str:
        return results.plan.ablations[arm.arm.ablation].title

    def name(arm: ArmResult) -> str:
        return label(arm) if arm.is_baseline else f"{arm.arm.title} (Δ)"

    return _wide(results, title, name, text)


def _wide(
    results: Results,
    ablation: Callable[[ArmResult], str],
    name: Callable[[ArmResult], str],
    text: Callable[[ErrorRow], str],
) -> Table:
    """Return one row per arm and one column per quantity."""

    def column(place: int, quantity: str) -> Column[list[ErrorRow]]:
        return Column(quantity, None, TITLES.get(quantity, quantity), lambda cells: text(cells[place]))

    columns = [
        words("ablation", "ablation", lambda cells: ablation(cells[0].arm)),
        words("arm", "arm", lambda cells: name(cells[0].arm)),
        *(column(place, quantity) for place, quantity in enumerate(QUANTITIES)),
    ]
    return printed(columns, _by_arm(results))


def legend(results: Results) -> list[str]:
    """Return how to read the table."""
    confidences = {errors.confidence for arm in results.arms for errors in _errors(arm).values()}
    return sentences(
        "text/errors.j2",
        confidences=[*map(fmt.plain, sorted(confidences))],
        recorded=recorded(results),
        published=results.plan.published,
    )


def as_markdown(results: Results) -> str:
    """Return tables/errors.md."""
    return page(
        "errors.md.j2",
        title=results.plan.title,
        errors=error_table(results) if recorded(results) else None,
        how_to_read=legend(results),
    )
