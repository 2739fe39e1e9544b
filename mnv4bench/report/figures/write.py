"""The figures. Each is drawn from the collected results alone, so recolouring a line never retrains anything."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.report.figures.cost import cost
from mnv4bench.report.figures.curves import curves
from mnv4bench.report.figures.detections import detections
from mnv4bench.report.figures.effects import effects
from mnv4bench.report.figures.pareto import pareto
from mnv4bench.report.figures.slices import slices
from mnv4bench.report.figures.style import look, save
from mnv4bench.report.results import collect
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


def write_figures(plan: Plan, results: Path, dataset: Path | None = None, pictures: bool = True) -> None:
    """Write figures/{effects,cost,pareto,curves,slices,detections}.{png,pdf} under `results`.

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
