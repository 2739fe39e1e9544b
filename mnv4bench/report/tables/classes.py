"""AP of every class: classes.csv, and a table per ablation with a row for each class. Exploratory."""

from __future__ import annotations

from statistics import fmean
from typing import NamedTuple

from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import page
from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.arms import label
from mnv4bench.report.tables.cells import Table
from mnv4bench.report.tables.columns import Column, printed, words
from mnv4bench.report.tables.csv import per_seed


class ClassRow(NamedTuple):
    """One arm on one class."""

    arm: ArmResult
    name: str

    @property
    def values(self) -> dict[int, float]:
        """Return seed → AP on 0–1, without the seeds that have none."""
        readings = {result.seed: result.reading for result in self.arm.done if result.reading}
        scores = {seed: reading.classes.get(self.name) for seed, reading in readings.items()}
        return {seed: score.AP for seed, score in scores.items() if score is not None and score.AP is not None}

    @property
    def mean(self) -> float | None:
        return fmean(self.values.values()) if self.values else None


COLUMNS: list[Column[ClassRow]] = [
    Column("ablation", lambda row: row.arm.arm.ablation),
    Column("arm", lambda row: row.arm.arm.name),
    Column("baseline", lambda row: int(row.arm.is_baseline)),
    Column("class", lambda row: row.name),
    Column("AP", lambda row: row.mean),
    Column("AP_seeds", lambda row: per_seed(row.values)),
]


def rows(results: Results) -> list[ClassRow]:
    return [ClassRow(arm, name) for arm in results.arms for name in results.data.record.classes]


def class_table(results: Results, ablation: str) -> Table:
    """Return one row per class and one column per arm of an ablation."""
    arms = results.ablations[ablation]

    def column(place: int) -> Column[list[ClassRow]]:
        arm = arms[place]
        return Column(arm.arm.name, None, label(arm), lambda cells: fmt.points(cells[place].mean, 1))

    columns = [words("class", "class", lambda cells: cells[0].name), *(column(place) for place in range(len(arms)))]
    return printed(columns, [[ClassRow(arm, name) for arm in arms] for name in results.data.record.classes])


def as_markdown(results: Results) -> str:
    """Return tables/classes.md."""
    return page(
        "classes.md.j2",
        title=results.plan.title,
        ablations=[(spec.title, class_table(results, name)) for name, spec in results.plan.ablations.items()],
        gates=results.plan.preset.gates,
        published=results.plan.published,
    )
