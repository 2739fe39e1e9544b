"""The figures. Each is drawn from the collected results alone, so recolouring a line never retrains anything."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.report.figures import confusion, precision
from mnv4bench.report.figures.cost import cost
from mnv4bench.report.figures.curves import curves
from mnv4bench.report.figures.detections import detections
from mnv4bench.report.figures.effects import effects
from mnv4bench.report.figures.pareto import pareto
from mnv4bench.report.figures.slices import slices
from mnv4bench.report.figures.style import look, save
from mnv4bench.report.results import Results, collect
from mnv4bench.spec.plan import Plan

DRAWN = {
    "effects": effects,
    "cost": cost,
    "pareto": pareto,
    "curves": curves,
    "slices": slices,
    "detections": detections,
}
PICTURES = ("detections",)
"""Those that show images of the data set."""
BOXES = "boxes"
"""The detections without the images, for a reference whose images stay where they are."""


def write_figures(plan: Plan, results: Path, dataset: Path | None = None, pictures: bool = True) -> None:
    """Write figures/{effects,cost,pareto,curves,slices,detections}.{png,pdf} under `results`, boxes.{png,pdf} where the
    images of the data set stay on this machine, and for each ablation {precision,confusion}/ABLATION.png.

    Reads tables/{precision_recall,f1_confidence,confusion}.csv; no confusion where the last is not there.

    Args:
        pictures: also draw what shows images of the data set; False where they are not there.

    Raises:
        Mnv4benchError: a result file is missing or wrong.
    """
    collected = collect(plan, results, dataset)
    with look():
        for name, draw in DRAWN.items():
            if pictures or name not in PICTURES:
                save(draw(collected), Path(results) / "figures", name)
        if pictures and collected.data.record.stays:
            save(detections(collected, images=False), Path(results) / "figures", BOXES)
        _of_ablations(collected, Path(results))


def _of_ablations(collected: Results, results: Path) -> None:
    curves = precision.read(results / "tables")
    path = results / "tables/confusion.csv"
    counts = confusion.read(path) if path.is_file() else None
    for name in collected.ablations:
        drawn = precision.precision(collected, name, curves.get(name, {}))
        save(drawn, results / "figures/precision", name, pdf=False)
        if counts is not None:
            save(
                confusion.confusion(collected, name, counts.get(name, {})),
                results / "figures/confusion",
                name,
                pdf=False,
            )
