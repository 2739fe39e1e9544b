"""What the committed reference results say of each ablation, wherever one ran it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnv4bench.reference.plans import plan_of
from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results, collect
from mnv4bench.report.tables.ablations import comparisons
from mnv4bench.report.tables.arms import identity
from mnv4bench.report.tables.cells import Table, stacked
from mnv4bench.report.tables.columns import Column, pick, words
from mnv4bench.results.reference import FOLDER, names


def references(root: Path) -> dict[str, Results]:
    """Return name → what was collected, for every reference of the project under `root`.

    Raises:
        Mnv4benchError: a reference is damaged, or its preset has changed since.
    """
    return {name: reference(root / FOLDER / name) for name in names(root / FOLDER)}


def reference(folder: Path) -> Results:
    """Return what was collected from one reference.

    Raises:
        Mnv4benchError: as for `references`.
    """
    return collect(plan_of(folder.name, folder.parent.parent.parent), folder)


def measured(ablation: str, results: Mapping[str, Results]) -> Table | None:
    """Return an ablation's comparisons in each reference that ran it; None where none did."""
    ran = {name: reference for name, reference in results.items() if ablation in reference.ablations}
    tables = [
        comparisons(reference, reference.ablations[ablation], _runtimes(ran), _source(name, reference))
        for name, reference in ran.items()
    ]
    return stacked(tables) if tables else None


def _source(name: str, results: Results) -> Column[ArmResult]:
    seeds = fmt.count(len(results.plan.preset.seeds), "seed")
    return words("reference", "reference", lambda arm: f"{name}, {seeds}")


def _runtimes(results: Mapping[str, Results]) -> list[str]:
    return list(dict.fromkeys(runtime for reference in results.values() for runtime in reference.timed))


def apart_from_zero(results: Mapping[str, Results]) -> dict[str, Any]:
    """Return how many of the references' intervals exclude zero, how many would by chance, and those rows.

    Args:
        results: of references made by one preset, at least one.
    """
    level = next(iter(results.values())).comparison.level
    judged, tables = 0, []
    for reference in results.values():
        bounds = [(arm, arm.difference.low, arm.difference.high) for arm in reference.arms if arm.difference]
        intervals = [(arm, low, high) for arm, low, high in bounds if low is not None and high is not None]
        apart = [arm for arm, low, high in intervals if low > 0 or high < 0]
        judged += len(intervals)
        tables.append(comparisons(reference, apart, _runtimes(results), *pick(identity(), "ablation")))
    return {
        "judged": judged,
        "by_chance": judged * (1 - level),
        "level": level,
        "seeds": max(len(reference.plan.preset.seeds) for reference in results.values()),
        "rows": stacked(tables),
    }
