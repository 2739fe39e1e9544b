"""Precision and recall of each arm at its best confidence, with the pictures of its curves and of what it confuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mnv4bench.report import formatting as fmt
from mnv4bench.report.operating import ALL
from mnv4bench.report.page.pictures import address
from mnv4bench.report.results import Results
from mnv4bench.report.tables.cells import Table, table
from mnv4bench.report.tables.csv import read_csv

HEADER = ("class", "arm", "confidence", "precision", "recall", "F1", "AP50")


@dataclass(frozen=True)
class ByClass:
    """One ablation."""

    summary: Table
    """A row per arm: means over the classes."""
    classes: Table
    """A row per class and arm."""
    curves: str
    """Address of the picture."""
    confusion: str | None
    """Address of the picture; None where detections were not at hand."""


def precision(results: Results, folder: Path) -> dict[str, ByClass]:
    """Return ablation → what the page shows of it.

    Raises:
        Mnv4benchError: the table or a picture is missing or damaged.
    """
    rows = read_csv(folder / "tables/operating.csv", ("ablation", *HEADER))
    made = {}
    for name in results.ablations:
        of_ablation = [row for row in rows if row["ablation"] == name]
        classes = {row["class"]: place for place, row in enumerate(of_ablation)}
        ordered = sorted(of_ablation, key=lambda row: classes[row["class"]])
        confusion = folder / f"figures/confusion/{name}.png"
        made[name] = ByClass(
            summary=_table([row for row in ordered if row["class"] == ALL], HEADER[1:]),
            classes=_table([row for row in ordered if row["class"] != ALL], HEADER),
            curves=address(folder / f"figures/precision/{name}.png"),
            confusion=address(confusion) if confusion.is_file() else None,
        )
    return made


def _table(rows: list[dict[str, str]], header: tuple[str, ...]) -> Table:
    words = [name for name in header if name in ("class", "arm")]
    align = "".join("l" if name in words else "r" for name in header)
    return table(header, align, [tuple(_cell(row, name) for name in header) for row in rows])


def _cell(row: Mapping[str, str], name: str) -> str:
    if name in ("class", "arm"):
        return row[name]
    value = float(row[name]) if row[name] else None
    if name == "AP50":
        return fmt.points(value, 1)
    return fmt.number(value, 2 if name == "confidence" else 3)
