"""How long what is left of a preset will take, and how much disk, from what its finished runs took."""

from __future__ import annotations

import csv
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mnv4bench.data import scenes
from mnv4bench.data.prepared import RECORD, key
from mnv4bench.io.errors import FileError
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.record import read_record
from mnv4bench.results.run import Status
from mnv4bench.spec.plan import Plan
from mnv4bench.spec.run import RunSpec

GUESSED_RATE, GUESSED_SIDE = 30.0, 160
"""Images per second and thread while training, and their side in pixels, where no run has been timed: the default
detector on one core of a server of 2023. Taken to fall with the number of pixels. Of GPUs there is no guess."""
GUESSED_MB = 20.0
"""Disk of a finished run."""
LATER = ("latency", "claims", "compare", "ledger", "ranks", "sizes", "tables", "figures", "paper", "report")
"""The rules after training that take time."""


@dataclass(frozen=True)
class Expected:
    """What is to do."""

    runs: int
    seconds: float | None
    """Of the wall clock; None where nothing tells the rate or the number of images."""
    scoring: bool
    """Whether `seconds` holds what a run takes besides training: its start and its evaluation."""
    megabytes: float
    measured_on: int
    """Finished runs that the rates come from; 0 for a guess."""
    later_seconds: float | None
    """What the rules after training took the last time; None where they have not run."""


@dataclass(frozen=True)
class Finished:
    """What a finished run took."""

    spec: RunSpec
    rate: float
    """Images per second while training."""
    besides: float | None
    """Seconds of its job that were not training; None where no benchmark file tells."""
    megabytes: float


def expected(plan: Plan, results: Path, cores: int) -> Expected:
    """Return what finishing a preset takes: each run's images over the rate of runs like it, as many runs at a time as
    have threads on `cores`."""
    left = {name: spec for name, spec in plan.runs.items() if not (results / "runs" / name / "metrics.json").exists()}
    known = _finished(plan, results)
    besides = [run.besides for run in known if run.besides is not None]
    images = _train_images(plan, results)
    seconds: dict[str, float] = {}
    for name, spec in left.items():
        rate = _rate(spec, known, cores)
        if rate is not None and images is not None:
            seconds[name] = images * spec.train.epochs / rate + (median(besides) if besides else 0.0)
    return Expected(
        runs=len(left),
        seconds=makespan(left, seconds, cores) if len(seconds) == len(left) else None,
        scoring=bool(besides),
        megabytes=median([run.megabytes for run in known] or [GUESSED_MB]) * len(left),
        measured_on=len(known),
        later_seconds=_later(results / "benchmarks"),
    )


def makespan(runs: Mapping[str, RunSpec], seconds: Mapping[str, float], cores: int) -> float:
    """Return when the last of `runs` ends, each starting once its threads are free and what it needs has ended."""
    waiting, running, ended = list(runs), list[tuple[float, str]](), set[str]()
    free, now = cores, 0.0
    while waiting or running:
        for name in list(waiting):
            ready = all(other not in runs or other in ended for other in (runs[name].start, runs[name].teacher))
            if ready and _threads(runs[name], cores) <= free:
                heapq.heappush(running, (now + seconds[name], name))
                waiting.remove(name)
                free -= _threads(runs[name], cores)
        now, name = heapq.heappop(running)
        ended.add(name)
        free += _threads(runs[name], cores)
    return now


def _threads(spec: RunSpec, cores: int) -> int:
    return min(spec.train.threads, cores)


def _finished(plan: Plan, results: Path) -> list[Finished]:
    found = []
    for name, spec in plan.runs.items():
        status = _status(results / "runs" / name / "status.json")
        if status and status.state == "done" and status.images_per_second:
            benchmark = results / "benchmarks" / "train" / f"{name}.tsv"
            # The file is about the last start alone, so it can hold less than all of a resumed run's training.
            besides = max(0.0, _seconds(benchmark) - status.seconds) if benchmark.exists() else None
            found.append(Finished(spec, status.images_per_second, besides, _megabytes(results / "runs" / name)))
    return found


def _status(path: Path) -> Status | None:
    try:
        return read_record(path, Status)
    except FileError:  # not there, or of another version: it tells nothing
        return None


def _rate(spec: RunSpec, known: Sequence[Finished], cores: int) -> float | None:
    """Return the median rate of finished runs, the most similar ones alone, else a guess; None where there is none."""
    alike = [run for run in known if run.spec.train.threads == spec.train.threads]
    same = [run for run in alike if (run.spec.model, run.spec.distill.wanted) == (spec.model, spec.distill.wanted)]
    if alike:
        return median(run.rate for run in same or alike)
    if known:
        return median(run.rate / run.spec.train.threads for run in known) * _threads(spec, cores)
    if spec.train.device != "cpu":
        return None
    return GUESSED_RATE * _threads(spec, cores) * (GUESSED_SIDE / spec.data.imgsz) ** 2


def _train_images(plan: Plan, results: Path) -> int | None:
    """Return the number of training images; None for photographs that nobody has counted yet."""
    record = results / "data" / key(plan.preset.data) / RECORD
    if record.exists():
        return read_record(record, Dataset).train.count
    return plan.preset.data.train or (scenes.TRAIN if plan.preset.data.name == "scenes" else None)


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _later(benchmarks: Path) -> float | None:
    times = [_seconds(benchmarks / f"{rule}.tsv") for rule in LATER if (benchmarks / f"{rule}.tsv").exists()]
    return sum(times) if times else None


def _seconds(path: Path) -> float:
    """Return the wall time in one of Snakemake's benchmark files."""
    with path.open(encoding="utf-8", newline="") as stream:
        return sum(float(row["s"]) for row in csv.DictReader(stream, delimiter="\t"))


def in_words(found: Expected, cores: int) -> str:
    """Return a sentence or two."""
    if not found.runs:
        return "All runs are finished."
    what = "training and scoring" if found.scoring else "training"
    time = (
        f"about {_clock(found.seconds)} of {what} on {_count(cores, 'core')}"
        if found.seconds is not None
        else "for a time that the first finished run or the prepared data will tell"
    )
    guess = f"{GUESSED_RATE:g} images/s and thread at {GUESSED_SIDE} pixels"
    basis = (
        f"measured on {_count(found.measured_on, 'finished run')} here"
        if found.measured_on
        else f"a guess{f' from {guess}' if found.seconds is not None else ''}, as no run has finished here"
    )
    later = (
        f"; latency, tables, figures and paper took {_clock(found.later_seconds)} the last time"
        if found.later_seconds is not None
        else "; latency, tables, figures and paper come on top"
    )
    return f"To do: {_count(found.runs, 'run')}, {time}, and {found.megabytes:.0f} MB ({basis}){later}."


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
