"""What the committed reference results say of each ablation, wherever one ran it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mnv4bench.reference.plans import plan_of
from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results, collect
from mnv4bench.report.tables.ablations import comparisons
from mnv4bench.report.tables.cells import Table, stacked
from mnv4bench.report.tables.columns import Column, words
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
    seeds = "" if results.plan.published else f", {fmt.count(len(results.plan.preset.seeds), 'seed')}"
    return words("reference", "reference", lambda arm: f"{name}{seeds}")


def _runtimes(results: Mapping[str, Results]) -> list[str]:
    return list(dict.fromkeys(runtime for reference in results.values() for runtime in reference.timed))
