"""AP per diagnostic slice, slices.csv; exploratory, so without interval or p value."""

from __future__ import annotations

from typing import NamedTuple

from mnv4bench.report.results import ArmResult, Results
from mnv4bench.report.tables.columns import Column
from mnv4bench.report.tables.csv import per_seed
from mnv4bench.results.comparison import SliceDifference


class SliceRow(NamedTuple):
    """One arm on one slice of the validation images."""

    arm: ArmResult
    name: str
    images: int

    @property
    def difference(self) -> SliceDifference | None:
        return self.arm.difference.slices.get(self.name) if self.arm.difference else None


COLUMNS: list[Column[SliceRow]] = [
    Column("ablation", lambda row: row.arm.arm.ablation),
    Column("arm", lambda row: row.arm.arm.name),
    Column("baseline", lambda row: int(row.arm.is_baseline)),
    Column("slice", lambda row: row.name),
    Column("images", lambda row: row.images),
    Column("AP", lambda row: row.arm.mean("AP", row.name)),
    Column("AP_seeds", lambda row: per_seed(row.arm.scores("AP", row.name))),
    Column("difference", lambda row: row.difference and row.difference.mean),
    Column("difference_seeds", lambda row: row.difference and per_seed(row.difference.seeds)),
]


def rows(results: Results) -> list[SliceRow]:
    return [SliceRow(arm, name, images) for arm in results.arms for name, images in results.data.slices.items()]
