"""Comparisons of classifiers in rows that a person reads first, from a folder's top1.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mnv4bench.report.accuracy import decimals_for
from mnv4bench.report.rendering import render
from mnv4bench.report.tables import arms
from mnv4bench.report.tables.cells import Table
from mnv4bench.report.tables.classifiers import METRIC
from mnv4bench.report.tables.columns import Column, pick, printed, words
from mnv4bench.results.classifier import TOP1
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.record import read_record
from mnv4bench.results.reference import RECORD, check_files, read_reference
from mnv4bench.spec.plan import Plan


@dataclass(frozen=True)
class Classified:
    """A plan's classifiers, compared."""

    plan: Plan
    comparison: Comparison


def classified(plan: Plan, results: Path) -> Classified:
    """Read a preset's folder, or a reference.

    Raises:
        Mnv4benchError: names the file that is missing or wrong, and what to do.
    """
    if (results / RECORD).is_file():
        check_files(read_reference(results.name, results.parent), results)
    return Classified(plan, read_record(results / TOP1, Comparison))


def scope(found: Classified) -> str:
    """Return how much was run, in one sentence."""
    classifiers = found.plan.classifiers
    return render(
        "text/scope_classifiers.j2",
        ablations=len(classifiers.ablations),
        arms=sum(map(len, classifiers.arms.values())),
        seeds=len(found.plan.preset.seeds),
        objects=found.plan.preset.classifiers.train,
        scored=found.comparison.images,
        differences=len(found.comparison.differences),
    )


def answers(found: Classified) -> Table:
    """Return a row per comparison, in the preset's order."""
    specs = found.plan.classifiers.ablations
    return comparisons(found, found.comparison.differences, words("part", "part", lambda d: specs[d.ablation].title))


def comparisons(found: Classified, rows: Iterable[Difference], first: Column[Difference]) -> Table:
    """Return a row for each of these comparisons: difference in top-1 with its interval, and verdict.

    Args:
        first: the column that tells the rows' origin.
    """
    decimals = decimals_for(found.comparison.differences)

    def comparison(d: Difference) -> str:
        spec = found.plan.classifiers.ablations[d.ablation]
        return f"{spec.title_of(d.arm)} − {spec.title_of(d.baseline)}"

    judged = pick(arms.differences(found.comparison.level, decimals, METRIC), "difference_mean", "verdict")
    return printed([first, words("comparison", "comparison", comparison), *judged], rows)
