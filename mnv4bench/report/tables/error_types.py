"""What keeps AP50 down in each arm, by type of error (TIDE). Exploratory: no interval, no test."""

from __future__ import annotations

from statistics import fmean
from typing import Any, get_args

from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.raw import per_seed
from mnv4bench.results.metrics import Errors, ErrorType

TYPES: tuple[ErrorType, ...] = get_args(ErrorType)
DUPLICATES = "duplicates_per_object"
QUANTITIES = ("AP50", *TYPES, DUPLICATES)
COLUMNS = (
    "ablation", "arm", "baseline", "quantity", "value", "value_seeds", "difference", "difference_seeds", "count",
)  # fmt: skip
TITLES = {
    "classification": "class",
    "localisation": "location",
    "both": "both",
    "duplicate": "duplicate",
    "background": "background",
    "missed": "missed",
    DUPLICATES: "dup./object",
}


HEADER = ("ablation", "arm", *(TITLES.get(name, name) for name in QUANTITIES))
ALIGN = "ll" + "r" * len(QUANTITIES)


def _errors(arm: ArmResult) -> dict[int, Errors]:
    readings = {result.seed: result.reading for result in arm.seeds}
    return {seed: found.errors for seed, found in readings.items() if found is not None and found.errors is not None}


def _value(errors: Errors, quantity: str) -> float | None:
    found: dict[str, float | None] = {"AP50": errors.AP50, DUPLICATES: errors.duplicates_per_object}
    found.update((name, gain) for name, gain in errors.gains.items())
    return found.get(quantity)


def per_seed_values(arm: ArmResult, quantity: str) -> dict[int, float]:
    """Return seed → AP50, the gain when one type of error is repaired, or duplicates per object."""
    values = {seed: _value(found, quantity) for seed, found in _errors(arm).items()}
    return {seed: value for seed, value in values.items() if value is not None}


def differences(arm: ArmResult, baseline: ArmResult, quantity: str) -> dict[int, float]:
    """Return seed → the arm's value minus the baseline's, over the seeds that have both."""
    ours, theirs = per_seed_values(arm, quantity), per_seed_values(baseline, quantity)
    return {seed: value - theirs[seed] for seed, value in ours.items() if seed in theirs}


def recorded(results: Results) -> bool:
    return any(per_seed_values(arm, "AP50") for arm in results.arms)


def error_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per arm and quantity: means over seeds, paired differences to the ablation's baseline."""
    return [_row(arm, baseline, quantity) for arm, baseline in _pairs(results) for quantity in QUANTITIES]


def _pairs(results: Results) -> list[tuple[ArmResult, ArmResult]]:
    pairs = []
    for arms in results.ablations.values():
        baseline = next(arm for arm in arms if arm.is_baseline)
        pairs += [(arm, baseline) for arm in arms]
    return pairs


def _row(arm: ArmResult, baseline: ArmResult, quantity: str) -> dict[str, Any]:
    values = per_seed_values(arm, quantity)
    deltas = {} if arm.is_baseline else differences(arm, baseline, quantity)
    return {
        "ablation": arm.arm.ablation,
        "arm": arm.arm.name,
        "baseline": int(arm.is_baseline),
        "quantity": quantity,
        "value": _mean(values),
        "value_seeds": per_seed(values),
        "difference": _mean(deltas),
        "difference_seeds": per_seed(deltas),
        "count": _mean(_counts(arm, quantity)),
    }


def _counts(arm: ArmResult, quantity: str) -> dict[int, float]:
    return {
        seed: float(count)
        for seed, found in _errors(arm).items()
        for name, count in found.counts.items()
        if name == quantity
    }


def _mean(values: dict[int, float]) -> float | None:
    return fmean(values.values()) if values else None


def error_table(results: Results) -> Table:
    """Return one row per arm: what repairing each type would gain, and in brackets the difference to the baseline."""
    rows = []
    for arm, baseline in _pairs(results):
        cells = []
        for quantity in QUANTITIES:
            level = fmt.number(_mean(per_seed_values(arm, quantity)), 3)
            change = None if arm.is_baseline else _mean(differences(arm, baseline, quantity))
            cells.append(level if change is None else f"{level} ({fmt.number(change, 3, sign=True)})")
        name = arm.arm.name + (" (baseline)" if arm.is_baseline else "")
        rows.append((arm.arm.ablation, name, *cells))
    return table(HEADER, ALIGN, rows)


def changes(results: Results) -> Table:
    """Return one number per cell, for a narrow page: the baselines' values, and differences of the other arms."""
    rows = []
    for arm, baseline in _pairs(results):
        if arm.is_baseline:
            cells = [fmt.number(_mean(per_seed_values(arm, name)), 3) for name in QUANTITIES]
        else:
            cells = [fmt.number(_mean(differences(arm, baseline, name)), 3, sign=True) for name in QUANTITIES]
        rows.append((arm.arm.ablation, arm.arm.name + (" (baseline)" if arm.is_baseline else " (Δ)"), *cells))
    return table(HEADER, ALIGN, rows)


def legend(results: Results) -> list[str]:
    """Return how to read the table."""
    if not recorded(results):
        return ["The runs' metrics hold no error types; evaluate them again."]
    confidences = {found.confidence for arm in results.arms for found in _errors(arm).values()}
    above = fmt.join(fmt.plain(value) for value in sorted(confidences))
    return [
        "Means over seeds, with the paired difference to the ablation's baseline. Exploratory: neither interval nor "
        "test.",
        "Types are those of TIDE: a column says how much AP50 (0–1) would rise if the errors of that type alone were "
        "repaired. The gains do not add up to what is missing from 1.",
        f"dup./object counts duplicate detections with a score above {above} for each object: what suppression would "
        "have removed.",
    ]
