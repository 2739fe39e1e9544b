"""What the workflow prints when it has ended: the verdicts, and where to look."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.report import top1
from mnv4bench.report.answers import answers
from mnv4bench.report.findings import scope
from mnv4bench.report.rendering import page
from mnv4bench.report.results import Results, collect
from mnv4bench.report.tables.cells import Table
from mnv4bench.report.terminal import aligned
from mnv4bench.spec.plan import Plan


def closing(plan: Plan, folder: Path, rebuilt: str | None = None) -> str:
    """Return the lines of complete.txt.

    Args:
        rebuilt: the reference whose numbers these are, where they were computed anew from its records.
    """
    if plan.arms:
        return told(collect(plan, folder), folder, rebuilt)
    found = top1.classified(plan, folder)
    lines = _lines(top1.answers(found))
    return page("closing_classifiers.txt.j2", scope=top1.scope(found), answers=lines, folder=folder, rebuilt=rebuilt)


def told(results: Results, folder: Path, rebuilt: str | None = None) -> str:
    """Return the lines of complete.txt of what was collected, which lies in `folder`."""
    lines = _lines(answers(results))
    return page("closing.txt.j2", scope=scope(results), answers=lines, folder=folder, rebuilt=rebuilt)


def _lines(content: Table) -> list[str]:
    return aligned([content.header, *([cell.text for cell in row] for row in content.rows)])
