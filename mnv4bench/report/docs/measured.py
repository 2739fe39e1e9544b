"""What the committed reference results say of each ablation, wherever one ran it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnv4bench.reference.plans import plan_of
from mnv4bench.report import formatting as fmt
from mnv4bench.report import top1
from mnv4bench.report.results import Results, collect
from mnv4bench.report.searches import published_searches
from mnv4bench.report.tables.ablations import comparisons
from mnv4bench.report.tables.cells import Table, stacked
from mnv4bench.report.tables.columns import Column, words
from mnv4bench.report.top1 import Classified
from mnv4bench.results.reference import FOLDER, of_detectors
from mnv4bench.spec.plan import Plan


def references(root: Path) -> dict[str, Results]:
    """Return name → what was collected, for every reference with detectors of the project under `root`.

    Raises:
        Mnv4benchError: a reference is damaged, or its preset has changed since.
    """
    return {name: reference(root / FOLDER / name) for name in of_detectors(root / FOLDER)}


def reference(folder: Path) -> Results:
    """Return what was collected from one reference.

    Raises:
        Mnv4benchError: as for `references`.
    """
    return collect(plan_of(folder.name, folder.parent.parent.parent), folder)


def references_of_classifiers(root: Path) -> dict[str, Classified]:
    """Return name → what was compared, for every reference with classifiers of the project under `root`.

    Raises:
        Mnv4benchError: as for `references`.
    """
    return {name: search.found for name, search in published_searches(root / FOLDER).items()}


def measured(ablation: str, results: Mapping[str, Results]) -> Table | None:
    """Return an ablation's comparisons in each reference that ran it and had its networks; None where none did."""
    ran = {name: reference for name, reference in results.items() if ablation in reference.at_hand.ablations}
    tables = [
        comparisons(reference, reference.ablations[ablation], _runtimes(ran), _source(name, reference.plan))
        for name, reference in ran.items()
    ]
    return stacked(tables) if tables else None


def measured_top1(ablation: str, results: Mapping[str, Classified]) -> Table | None:
    """Return an ablation's comparisons of classifiers in each reference that ran it; None where none did."""
    tables = [
        top1.comparisons(found, rows, _source(name, found.plan))
        for name, found in results.items()
        if (rows := [d for d in found.comparison.differences if d.ablation == ablation])
    ]
    return stacked(tables) if tables else None


def _source(name: str, plan: Plan) -> Column[Any]:
    seeds = "" if plan.published else f", {fmt.count(len(plan.preset.seeds), 'seed')}"
    return words("reference", "reference", lambda row: f"{name}{seeds}")


def _runtimes(results: Mapping[str, Results]) -> list[str]:
    return list(dict.fromkeys(runtime for reference in results.values() for runtime in reference.timed))
