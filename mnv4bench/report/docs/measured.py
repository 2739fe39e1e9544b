"""What the committed reference results say of each ablation, wherever one ran it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mnv4bench.reference.plans import plan_of
from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import Results, collect
from mnv4bench.report.tables.blocks import comparisons, verdicts_head
from mnv4bench.report.tables.cells import Cell, Table, table
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
    rows: list[tuple[Cell | str, ...]] = []
    for reference, results in here.items():
        seeds = fmt.count(len(results.plan.preset.seeds), "seed")
        rows += [(f"{reference}, {seeds}", *row) for row in comparisons(results, name, runtimes)]
    return table(*verdicts_head("reference", _level(here), runtimes), rows)


def _level(found: Mapping[str, Results]) -> str:
    return fmt.percent(next(iter(found.values())).comparison.level)


def apart_from_zero(found: Mapping[str, Results]) -> tuple[str, Table]:
    """Return how many of the references' intervals exclude zero, beside how many would by chance, and those rows.

    Args:
        found: references made by one preset, at least one.
    """
    runtimes = list(dict.fromkeys(runtime for results in found.values() for runtime in results.timed))
    rows: list[tuple[Cell | str, ...]] = []
    judged, expected = 0, 0.0
    for results in found.values():
        for name, arms in results.ablations.items():
            others = [arm for arm in arms if not arm.is_baseline]
            for arm, row in zip(others, comparisons(results, name, runtimes), strict=True):
                d = arm.difference
                if d is None or d.low is None or d.high is None:
                    continue
                judged, expected = judged + 1, expected + 1 - results.comparison.level
                if d.low > 0 or d.high < 0:
                    rows.append((name, *row))
    seeds = fmt.count(max(len(results.plan.preset.seeds) for results in found.values()), "seed")
    said = (
        f"{fmt.count(judged, 'comparison')} with {seeds}. {len(rows)} of their {_level(found)} intervals exclude "
        f"zero; about {expected:.0f} would if no part had an effect."
    )
    return said, table(*verdicts_head("ablation", _level(found), runtimes), rows)
