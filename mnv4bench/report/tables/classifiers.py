"""Ablations of classifiers as people read them: tables/classifiers.{csv,md}, and the comparison behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from mnv4bench.io.files import write_json, write_text
from mnv4bench.ledger.cited import changes
from mnv4bench.report import formatting as fmt
from mnv4bench.report.accuracy import decimals_for
from mnv4bench.report.claims import changes_in_words
from mnv4bench.report.rendering import page
from mnv4bench.report.tables import arms
from mnv4bench.report.tables.columns import Column, numbers, of_part, pick, points, printed, raw, words
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.results.classifier import FOLDER, RESULT, TEACHER, TOP1, ClassifierRecord, TeacherRecord
from mnv4bench.results.comparison import Comparison, Difference
from mnv4bench.results.record import read_record
from mnv4bench.spec.ablation import AblationSpec
from mnv4bench.spec.plan import Plan
from mnv4bench.statistics.top1 import compare_top1

METRIC = "top-1"
PRINTED = ("arm", "top1", "top1_seeds", "train_top1", "macs_M", "params_M", "difference_mean", "verdict", "printed")


@dataclass(frozen=True)
class ClassifierArm:
    """One arm with all that its seeds came to."""

    ablation: str
    name: str
    spec: AblationSpec
    records: dict[int, ClassifierRecord]
    difference: Difference | None
    """None for the baseline."""

    def mean(self, value: Callable[[ClassifierRecord], float]) -> float:
        return fmean(value(record) for record in self.records.values())


def write_classifiers(plan: Plan, results: Path) -> None:
    """Write top1.json and tables/classifiers.{csv,md}.

    Raises:
        Mnv4benchError: a result file is missing or damaged.
    """
    rows, comparison = collect(plan, results)
    write_json(results / TOP1, comparison)
    columns = columns_of(plan, comparison)
    names = [column.name for column in columns if column.value is not None]
    write_text(results / "tables" / "classifiers.csv", to_csv(raw(columns, rows), names))
    sections = [
        {"spec": spec, "table": printed(pick(columns, *PRINTED), [row for row in rows if row.ablation == name])}
        for name, spec in plan.classifiers.ablations.items()
    ]
    settings = plan.preset.classifiers
    path = results / FOLDER / settings.labels_name() / TEACHER
    text = page(
        "classifiers.md.j2",
        plan=plan,
        sections=sections,
        comparison=comparison,
        settings=settings,
        teacher=read_record(path, TeacherRecord) if path.exists() else None,
    )
    write_text(results / "tables" / "classifiers.md", text)


def collect(plan: Plan, results: Path) -> tuple[list[ClassifierArm], Comparison]:
    """Return every arm of every ablation of classifiers, and their comparison."""
    found = plan.classifiers
    records = {name: read_record(results / FOLDER / name / RESULT, ClassifierRecord) for name in found.runs}
    hits = {name: np.array([mark == "1" for mark in record.hits]) for name, record in records.items()}
    comparison = compare_top1(found, hits, plan.preset.bootstrap)
    rows = [
        ClassifierArm(
            ablation,
            arm,
            found.ablations[ablation],
            {seed: records[run] for seed, run in runs.items()},
            comparison.find(ablation, arm),
        )
        for ablation, arms_of in found.arms.items()
        for arm, runs in arms_of.items()
    ]
    return rows, comparison


def columns_of(plan: Plan, comparison: Comparison) -> list[Column[ClassifierArm]]:
    """Return all columns, in the order of classifiers.csv."""
    decimals = decimals_for(comparison.differences)
    differences = arms.differences(comparison.level, decimals, METRIC)

    def label(row: ClassifierArm) -> str:
        return row.spec.title_of(row.name) + ("" if row.difference else " (baseline)")

    def per_seed(row: ClassifierArm) -> str:
        return " ".join(fmt.points(record.accuracy, decimals) for record in row.records.values())

    def change(row: ClassifierArm) -> str:
        return changes_in_words(changes(row.spec, row.name)) or fmt.NONE

    def of_seed(seed: int) -> Callable[[ClassifierArm], float]:
        return lambda row: row.records[seed].accuracy

    return [
        words("ablation", "ablation", lambda row: row.ablation),
        Column("arm", lambda row: row.name, "arm", label, "l"),
        Column("baseline", lambda row: int(row.difference is None)),
        points("top1", "top-1 (points)", lambda row: row.mean(lambda record: record.accuracy), decimals),
        *(Column(f"top1_seed{seed}", of_seed(seed)) for seed in plan.preset.seeds),
        Column("top1_seeds", None, "per seed", per_seed, "l"),
        points("train_top1", "train", lambda row: row.mean(lambda record: record.train_accuracy), decimals),
        numbers("macs_M", "MACs (M)", lambda row: row.mean(lambda record: record.macs / 1e6), 2),
        numbers("params_M", "params (M)", lambda row: row.mean(lambda record: record.params / 1e6), 3),
        *of_part(differences, lambda row: row.difference),
        Column("printed", None, "printed change", change, "l"),
        Column("runs", lambda row: " ".join(record.run.name for record in row.records.values())),
    ]
