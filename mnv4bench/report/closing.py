"""What the workflow prints when it has ended: the verdicts, and where to look."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.report.findings import outcomes, scope
from mnv4bench.report.rendering import page
from mnv4bench.report.results import collect
from mnv4bench.spec.plan import Plan


def closing(plan: Plan, folder: Path) -> str:
    """Return the lines of complete.txt."""
    results = collect(plan, folder)
    return page("closing.txt.j2", scope=scope(results), outcomes=outcomes(results), folder=folder)
