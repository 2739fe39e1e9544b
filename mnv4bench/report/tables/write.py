"""The tables' files: raw and complete as CSV, rounded for people as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mnv4bench.io.files import write_text
from mnv4bench.report.operating import operating as operating_of
from mnv4bench.report.results import Results, collect
from mnv4bench.report.tables import ablations, arms, classes, confusion, errors, latency, operating, slices
from mnv4bench.report.tables.columns import Column, Row, raw
from mnv4bench.report.tables.csv import to_csv
from mnv4bench.spec.plan import Plan


def write_tables(plan: Plan, results: Path, dataset: Path | None = None, detections: bool = True) -> None:
    """Write tables/ablations.{csv,md,tex}, {classes,latency,errors}.{csv,md} and
    {slices,operating,precision_recall,f1_confidence,confusion}.csv under `results`.

    Args:
        detections: also write confusion.csv, which needs the runs' detections; False where they are not there.

    Raises:
        Mnv4benchError: a result file is missing or wrong.
    """
    for name, text in tables(collect(plan, results, dataset), detections).items():
        write_text(Path(results) / "tables" / name, text)


def tables(results: Results, detections: bool = True) -> dict[str, str]:
    """Return file name → content."""
    found = operating_of(results)
    seen = {"confusion.csv": _csv(confusion.COLUMNS, confusion.rows(results, found))} if detections else {}
    return {
        **seen,
        "ablations.csv": _csv(arms.columns(results), results.arms),
        "classes.csv": _csv(classes.COLUMNS, classes.rows(results)),
        "slices.csv": _csv(slices.COLUMNS, slices.rows(results)),
        "latency.csv": _csv(latency.columns(results), results.latency.rows),
        "errors.csv": _csv(errors.COLUMNS, errors.rows(results)),
        "operating.csv": _csv(operating.OPERATING, operating.lines(found)),
        "precision_recall.csv": _csv(operating.PRECISION_RECALL, operating.places(found)),
        "f1_confidence.csv": _csv(operating.F1_CONFIDENCE, operating.places(found)),
        "ablations.md": ablations.as_markdown(results),
        "latency.md": latency.as_markdown(results),
        "classes.md": classes.as_markdown(results),
        "errors.md": errors.as_markdown(results),
        "ablations.tex": ablations.as_latex(results),
    }


def _csv(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> str:
    return to_csv(raw(columns, rows), [column.name for column in columns if column.value is not None])
