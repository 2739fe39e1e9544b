"""How long what is left of a preset will take, and how much disk, from what its finished runs took."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mnv4bench.files import read_json
from mnv4bench.plan import Plan
from mnv4bench.records import Status
from mnv4bench.spec import RunSpec

GUESSED_RATE = 30.0
"""Images per second and thread while training, where no run has been timed: the default detector at 160 pixels on one
core of a server of 2023."""
GUESSED_MB = 25.0
"""Disk of a finished run."""
TRAIN_IMAGES = {"scenes": 600, "bccd": 292, "coco": 118287}
"""Training images where the preset names no number."""
LATER = ("latency", "claims", "compare", "ledger", "tables", "figures", "paper", "report")
"""The rules after training that take time."""


@dataclass(frozen=True)
class Expected:
    """What is to do."""

    runs: int
    seconds: float
    """Of the wall clock, training and scoring alone."""
    megabytes: float
    measured_on: int
    """Finished runs that the rates come from; 0 for a guess."""
    later_seconds: float | None
    """What the rules after training took the last time; None where they have not run."""


def expected(plan: Plan, results: Path, cores: int) -> Expected:
    """Return what finishing a preset takes: every run's images over the rate of runs like it, on all cores at once."""
    left = {name: spec for name, spec in plan.runs.items() if not (results / "runs" / name / "metrics.json").exists()}
    known = _finished(plan, results)
    core_seconds = sum(_images(spec) / _rate(spec, plan, known) * spec.train.threads for spec in left.values())
    sizes = [_size(results / "runs" / name) for name in known] or [GUESSED_MB]
    return Expected(
        runs=len(left),
        seconds=core_seconds / cores,
        megabytes=median(sizes) * len(left),
        measured_on=len(known),
        later_seconds=_later(results / "benchmarks"),
    )


def _finished(plan: Plan, results: Path) -> dict[str, float]:
    """Return run → images per second of its whole training."""
    found = {}
    for name in plan.runs:
        path = results / "runs" / name / "status.json"
        if path.exists():
            status = Status.model_validate(read_json(path))
            if status.state == "done" and status.images_per_second:
                found[name] = status.images_per_second
    return found


def _rate(spec: RunSpec, plan: Plan, known: dict[str, float]) -> float:
    """Return the median rate of finished runs with the same model, else of all with as many threads, else a guess."""
    same = [rate for name, rate in known.items() if plan.runs[name].model == spec.model]
    alike = [rate for name, rate in known.items() if plan.runs[name].train.threads == spec.train.threads]
    return median(same or alike or known.values() or [GUESSED_RATE * spec.train.threads])


def _images(spec: RunSpec) -> int:
    return (spec.data.train or TRAIN_IMAGES[spec.data.name]) * spec.train.epochs


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _later(benchmarks: Path) -> float | None:
    times = [_seconds(benchmarks / f"{rule}.tsv") for rule in LATER if (benchmarks / f"{rule}.tsv").exists()]
    return sum(times) if times else None


def _seconds(path: Path) -> float:
    with path.open(encoding="utf-8", newline="") as stream:
        return sum(float(row["s"]) for row in csv.DictReader(stream, delimiter="\t"))


def in_words(found: Expected, cores: int) -> str:
    """Return a sentence or two."""
    if not found.runs:
        return "All runs are finished."
    basis = (
        f"measured on {found.measured_on} finished runs here"
        if found.measured_on
        else f"a guess of {GUESSED_RATE:g} images/s and thread, as no run has finished here"
    )
    later = (
        f"; tables, figures, paper and latency took {_clock(found.later_seconds)} the last time"
        if found.later_seconds is not None
        else "; latency, tables, figures and paper come on top"
    )
    return (
        f"To do: {found.runs} runs, about {_clock(found.seconds)} of training on {cores} cores and "
        f"{found.megabytes:.0f} MB ({basis}){later}."
    )


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
