"""What the committed reference results say of each ablation, wherever one ran it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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


def measured(name: str, found: Mapping[str, Results]) -> Table | None:
    """Return an ablation's comparisons in each reference that ran it; None where none did."""
    here = {reference: results for reference, results in found.items() if name in results.ablations}
    if not here:
        return None
    runtimes = list(dict.fromkeys(runtime for results in here.values() for runtime in results.timed))
    return stacked(
        [
            comparisons(results, results.ablations[name], runtimes, _source(reference, results))
            for reference, results in here.items()
        ]
    )


def _source(reference: str, results: Results) -> Column[ArmResult]:
    seeds = fmt.count(len(results.plan.preset.seeds), "seed")
    return words("reference", "reference", lambda arm: f"{reference}, {seeds}")


def _level(found: Mapping[str, Results]) -> str:
    return fmt.percent(next(iter(found.values())).comparison.level)


def apart_from_zero(found: Mapping[str, Results]) -> tuple[str, Table]:
    """Return how many of the references' intervals exclude zero, beside how many would by chance, and those rows.

    Args:
        found: references made by one preset, at least one.
    """
    runtimes = list(dict.fromkeys(runtime for results in found.values() for runtime in results.timed))
    judged, expected = 0, 0.0
    tables = []
    for results in found.values():
        bounds = [(arm, arm.difference.low, arm.difference.high) for arm in results.arms if arm.difference]
        intervals = [(arm, low, high) for arm, low, high in bounds if low is not None and high is not None]
        judged, expected = judged + len(intervals), expected + len(intervals) * (1 - results.comparison.level)
        apart = [arm for arm, low, high in intervals if low > 0 or high < 0]
        tables.append(comparisons(results, apart, runtimes, *pick(identity(), "ablation")))
    table = stacked(tables)
    seeds = fmt.count(max(len(results.plan.preset.seeds) for results in found.values()), "seed")
    said = (
        f"{fmt.count(judged, 'comparison')} with {seeds}. {len(table.rows)} of their {_level(found)} intervals exclude "
        f"zero; about {expected:.0f} would if no part had an effect."
    )
    return said, table
