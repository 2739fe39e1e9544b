"""What `mnv4bench show RUN` prints: one run from its records, without its weights."""

from __future__ import annotations

from pathlib import Path

from mnv4bench.io.errors import FileError
from mnv4bench.report import formatting as fmt
from mnv4bench.report.rendering import render, sentences
from mnv4bench.report.terminal import aligned
from mnv4bench.report.untrained import RUNS, least_ap
from mnv4bench.results.metrics import Metrics, Reading, Scores, read_metrics
from mnv4bench.results.pretrained import PRETRAINED, Pretrained
from mnv4bench.results.record import read_record
from mnv4bench.results.run import read_spec, read_status
from mnv4bench.results.selection import home
from mnv4bench.spec.naming import slug
from mnv4bench.spec.preset import PRESETS

COLUMNS = tuple(Scores.model_fields)
CLASSES = "class, lowest AP first"
NAMED = 5
"""Runs that the error for a folder of runs lists; the rest are counted."""


def describe(folder: Path) -> str:
    """Return how a run was trained, how it ended, and its scores, in all and by class.

    Raises:
        FileError: the folder holds no run, one that has not ended, or a damaged one.
    """
    folder = folder.absolute()
    if not (folder / "status.json").exists():
        raise FileError(_not_ended(folder))
    status = read_status(folder, renamed=True)
    spec = read_spec(folder) if (folder / "spec.json").exists() else None
    scored = read_metrics(folder, renamed=True) if (folder / "metrics.json").exists() else None
    loaded = read_record(folder / PRETRAINED, Pretrained) if (folder / PRETRAINED).exists() else None
    facts = sentences(
        "text/shown_run.j2",
        status=status,
        spec=spec,
        metrics=scored,
        changes=slug(spec) if spec else "",
        loaded=loaded,
        untrained=least_ap(folder),
    )
    return "\n".join([*facts, *(_tables(scored) if scored else [])])


def _not_ended(folder: Path) -> str:
    """Return what a folder is that holds no run which has ended, and what to do."""
    whose = home(folder.parent if folder.name == RUNS else folder).name
    places = [path for place in (folder, folder / RUNS) for path in place.glob("*/spec.json")]
    return render(
        "text/no_run.j2",
        folder=folder,
        exists=folder.is_dir(),
        runs=sorted(path.parent.name for path in places),
        named=NAMED,
        whose=whose if (PRESETS / f"{whose}.yaml").exists() else None,
        preset=home(folder.parent.parent).name if folder.parent.name == RUNS else None,
    )


def _tables(metrics: Metrics) -> list[str]:
    lines: list[str] = []
    for read, reading in metrics.readings.items():
        whole, classes = _whole(reading), _classes(reading)
        table = aligned([(f"read {read}", *COLUMNS), *whole, (CLASSES, *COLUMNS), *classes])
        lines += ["", *table[: len(whole) + 1], "", *table[len(whole) + 1 :]]
    return lines


def _whole(reading: Reading) -> list[tuple[str, ...]]:
    """Return all classes together, then slices."""
    named = [("all", reading.scores), *((f"slice {name}", scores) for name, scores in reading.slices.items())]
    return [(name, *_cells(scores)) for name, scores in named]


def _classes(reading: Reading) -> list[tuple[str, ...]]:
    """Return each class, the worst first."""
    classes = sorted(reading.classes.items(), key=lambda item: (item[1].AP is None, item[1].AP or 0, item[0]))
    return [(name, *_cells(scores)) for name, scores in classes]


def _cells(scores: Scores) -> tuple[str, ...]:
    return tuple(fmt.points(getattr(scores, column), 1) for column in COLUMNS)
