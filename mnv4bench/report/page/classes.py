"""AP by class in points, with the difference to the baseline."""

from __future__ import annotations

from mnv4bench.report import formatting as fmt
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.arms import label
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.classes import ClassRow


def classes(results: Results, ablation: str) -> Table:
    """Return a row per class and a column per arm."""
    arms = results.ablations[ablation]
    baseline = next(arm for arm in arms if arm.is_baseline)
    rows = [(name, *(_cell(arm, baseline, name) for arm in arms)) for name in results.data.record.classes]
    return table(("class", *map(label, arms)), "l" + "r" * len(arms), rows)


def _cell(arm: ArmResult, baseline: ArmResult, name: str) -> str:
    mean, base = ClassRow(arm, name).mean, ClassRow(baseline, name).mean
    if mean is None:
        return fmt.NONE
    shown = fmt.points(mean, 1)
    if arm.is_baseline or base is None:
        return shown
    return f"{shown} ({fmt.points(mean - base, 1, sign=True)})"
