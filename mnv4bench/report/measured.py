"""What the committed reference results say of each ablation, wherever one ran it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mnv4bench.reference import FOLDER, names, plan_of
from mnv4bench.report import words
from mnv4bench.report.blocks import comparisons, verdicts_head
from mnv4bench.report.cells import Cell, Table, table
from mnv4bench.report.collect import Results, collect


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
        seeds = words.count(len(results.plan.preset.seeds), "seed")
        rows += [(f"{reference}, {seeds}", *row) for row in comparisons(results, name, runtimes)]
    level = words.percent(next(iter(here.values())).comparison.level)
    return table(*verdicts_head("reference", level, runtimes), rows)
