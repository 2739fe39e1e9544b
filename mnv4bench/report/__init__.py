"""Results as people read them: one entry point per rule of the workflow. `results` is the preset's folder."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.plan import Plan

# Imported at once: a lazy import would leave the module of the same name in the function's place.
from mnv4bench.report.compare import compare as compare


def write_tables(plan: Plan, results: Path) -> None:
    """Write tables/ablations.{csv,md,tex}, {latency,errors}.{csv,md} and slices.csv."""
    from mnv4bench.report import tables

    tables.write_tables(plan, results)


def write_figures(plan: Plan, results: Path, pictures: bool = True) -> None:
    """Write figures/{effects,cost,pareto,curves,slices}.{png,pdf}, and detections.{png,pdf} where images are there."""
    from mnv4bench.report import figures

    figures.write_figures(plan, results, pictures=pictures)


def write_paper(plan: Plan, results: Path) -> None:
    """Write paper/numbers.json and paper/mnv4bench.pdf."""
    from mnv4bench.report import paper

    paper.write_paper(plan, results)
